"""Export to TRL: conversational rows, with a prompt and reward columns for tasks, and also a completion for trajectories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmforge.curation.exports.conversation_rows import cut_clip, density_json, first_look
from dmforge.curation.io.atomic import write_bytes, write_json_lines
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample


def to_trl(corpus: Corpus, folder: Path) -> int:
    """Write `train.jsonl` and the videos that it names."""
    return write_json_lines(folder / "train.jsonl", _rows(corpus, folder))


def _rows(corpus: Corpus, folder: Path) -> Iterator[dict[str, Any]]:
    for video in corpus.videos():
        coarse = f"videos/{video.key}.coarse.mp4"
        write_bytes(folder / coarse, video.coarse)
        for sample in video.samples:
            prompt = [{"role": "user", "content": _content(sample, of_prompt=True)}]
            look = first_look(sample)
            if look is None:
                yield {"prompt": prompt, "videos": [coarse], **_reward_columns(sample)}
                continue
            clip = f"videos/{sample.id}.mp4"
            write_bytes(folder / clip, cut_clip(corpus, video, look))
            completion = [{"role": "assistant", "content": _content(sample, of_prompt=False)}]
            yield {"prompt": prompt, "completion": completion, "videos": [coarse, clip], **_reward_columns(sample)}


def _content(sample: ShardSample, *, of_prompt: bool) -> list[dict[str, str]]:
    pieces = [piece for piece in sample.transcript.pieces if (piece.author == "prompt") == of_prompt]
    return [{"type": "video"} if piece.text is None else {"type": "text", "text": piece.text} for piece in pieces]


def _reward_columns(sample: ShardSample) -> dict[str, Any]:
    """The columns that a reward function is given besides a completion."""
    target = sample.target
    return {
        "solution": sample.gold,
        "kind": sample.kind,
        "options": list(sample.options),
        "windows": [[float(window.start_s), float(window.end_s)] for window in sample.windows],
        "target_window": [float(target.window.start_s), float(target.window.end_s)] if target else [],
        "target_fps": float(density_json(target.fps)) if target else 0.0,
    }
