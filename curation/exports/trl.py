"""Export to TRL: conversational rows, with a prompt and reward columns for tasks, and also a completion for trajectories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmforge.curation.exports.conversation_rows import density_json, write_clips
from dmforge.curation.io.atomic import write_bytes, write_json_lines
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.errors import InputError


def to_trl(corpus: Corpus, folder: Path) -> int:
    """Write `train.jsonl` and the videos that it names."""
    return write_json_lines(folder / "train.jsonl", _rows(corpus, folder))


def _rows(corpus: Corpus, folder: Path) -> Iterator[dict[str, Any]]:
    for packed_video in corpus.videos():
        coarse_path = f"videos/{packed_video.key}.coarse.mp4"
        write_bytes(folder / coarse_path, packed_video.coarse)
        for sample in packed_video.samples:
            prompt_messages = [{"role": "user", "content": _content(sample, of_prompt=True)}]
            clip_paths = write_clips(corpus, packed_video, sample, folder)
            if not clip_paths:
                yield {"prompt": prompt_messages, "videos": [coarse_path], **_reward_columns(sample)}
                continue
            completion_messages = [{"role": "assistant", "content": _content(sample, of_prompt=False)}]
            yield {
                "prompt": prompt_messages,
                "completion": completion_messages,
                "videos": [coarse_path, *clip_paths],
                **_reward_columns(sample),
            }


def _content(sample: ShardSample, *, of_prompt: bool) -> list[dict[str, str]]:
    transcript = say_in("span", sample.transcript, sample.id)  # in one message of the assistant nobody else has turns
    pieces = [piece for piece in transcript.pieces if (piece.author == "prompt") == of_prompt]
    return [{"type": "video"} if piece.text is None else {"type": "text", "text": piece.text} for piece in pieces]


def _reward_columns(sample: ShardSample) -> dict[str, Any]:
    """The columns that a reward function is given besides a completion."""
    target_look = sample.target
    if target_look and target_look.has_limits:
        message = "trl has no column for the box or the token quota of a target: rewards would go without them"
        raise InputError(message, where=sample.id, hint="export --to hf, or select targets without them")
    return {
        "solution": sample.gold,
        "kind": sample.kind,
        "options": list(sample.options),
        "windows": [[float(gold_window.start_s), float(gold_window.end_s)] for gold_window in sample.windows],
        "target_window": [float(target_look.window.start_s), float(target_look.window.end_s)] if target_look else [],
        "target_fps": float(density_json(target_look.fps)) if target_look else 0.0,
    }
