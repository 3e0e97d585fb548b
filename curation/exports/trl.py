"""TRL: conversational rows, prompts with reward columns for tasks and prompt and completion for trajectories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmforge.curation.exports.words import cut, first_look, number, write_bytes, write_lines
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample


def to_trl(corpus: Corpus, folder: Path) -> int:
    """`train.jsonl`, and the videos that it names."""
    return write_lines(folder / "train.jsonl", _rows(corpus, folder))


def _rows(corpus: Corpus, folder: Path) -> Iterator[dict[str, Any]]:
    for video in corpus.videos():
        coarse = f"videos/{video.key}.coarse.mp4"
        write_bytes(folder / coarse, video.coarse)
        for sample in video.samples:
            prompt = [{"role": "user", "content": _content(sample, of_prompt=True)}]
            look = first_look(sample)
            if look is None:
                yield {"prompt": prompt, "videos": [coarse], **_rewards(sample)}
                continue
            clip = f"videos/{sample.id}.mp4"
            write_bytes(folder / clip, cut(corpus, video, look))
            completion = [{"role": "assistant", "content": _content(sample, of_prompt=False)}]
            yield {"prompt": prompt, "completion": completion, "videos": [coarse, clip], **_rewards(sample)}


def _content(sample: ShardSample, *, of_prompt: bool) -> list[dict[str, str]]:
    pieces = [piece for piece in sample.transcript.pieces if (piece.author == "prompt") == of_prompt]
    return [{"type": "video"} if piece.text is None else {"type": "text", "text": piece.text} for piece in pieces]


def _rewards(sample: ShardSample) -> dict[str, Any]:
    """What a reward function is given beside a completion."""
    target = sample.target
    return {
        "solution": sample.gold,
        "kind": sample.kind,
        "options": list(sample.options),
        "windows": [[float(window.start_s), float(window.end_s)] for window in sample.windows],
        "target_window": [float(target.window.start_s), float(target.window.end_s)] if target else [],
        "target_fps": float(number(target.fps)) if target else 0.0,
    }
