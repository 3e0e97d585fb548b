"""Export to TRL: conversational rows, with a prompt and reward columns for tasks, and also a completion for trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dmforge.curation.exports.conversation_rows import density_json, write_clips
from dmforge.curation.io.atomic import write_bytes, write_json_lines
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, Window

TargetColumns = Callable[[tuple[Look, ...]], dict[str, Any]]
"""Writes the looks of a target as columns of a row."""


def to_trl(corpus: Corpus, folder: Path) -> int:
    """Write `train.jsonl` and the videos that it names."""
    # a column has one type in all rows of a file, or `datasets` doesn't read it
    has_target_sets = any(sample.further_targets for packed_video in corpus.videos() for sample in packed_video.samples)
    target_columns = _target_list_columns if has_target_sets else _target_columns
    return write_json_lines(folder / "train.jsonl", _rows(corpus, folder, target_columns))


def _rows(corpus: Corpus, folder: Path, target_columns: TargetColumns) -> Iterator[dict[str, Any]]:
    for packed_video in corpus.videos():
        coarse_path = f"videos/{packed_video.key}.coarse.mp4"
        write_bytes(folder / coarse_path, packed_video.coarse)
        for sample in packed_video.samples:
            prompt_messages = [{"role": "user", "content": _content(sample, of_prompt=True)}]
            clip_paths = write_clips(corpus, packed_video, sample, folder)
            if not clip_paths:
                yield {"prompt": prompt_messages, "videos": [coarse_path], **_reward_columns(sample, target_columns)}
                continue
            completion_messages = [{"role": "assistant", "content": _content(sample, of_prompt=False)}]
            yield {
                "prompt": prompt_messages,
                "completion": completion_messages,
                "videos": [coarse_path, *clip_paths],
                **_reward_columns(sample, target_columns),
            }


def _content(sample: ShardSample, *, of_prompt: bool) -> list[dict[str, str]]:
    transcript = say_in("span", sample.transcript, sample.id)  # in one message of the assistant nobody else has turns
    pieces = [piece for piece in transcript.pieces if (piece.author == "prompt") == of_prompt]
    return [{"type": "video"} if piece.text is None else {"type": "text", "text": piece.text} for piece in pieces]


def _reward_columns(sample: ShardSample, target_columns: TargetColumns) -> dict[str, Any]:
    """The columns that a reward function is given besides a completion."""
    if any(target_look.has_limits for target_look in sample.target_looks):
        message = "trl has no column for the box or the token quota of a target: rewards would go without them"
        raise InputError(message, where=sample.id, hint="export --to hf, or select targets without them")
    return {
        "solution": sample.gold,
        "kind": sample.kind,
        "options": list(sample.options),
        "windows": [_bounds_s(gold_window) for gold_window in sample.windows],
        **target_columns(sample.target_looks),
    }


def _target_columns(target_looks: tuple[Look, ...]) -> dict[str, Any]:
    """The window and the density of the one look of a target."""
    window_s = _bounds_s(target_looks[0].window) if target_looks else []
    return {"target_window": window_s, "target_fps": float(density_json(target_looks[0].fps)) if target_looks else 0.0}


def _target_list_columns(target_looks: tuple[Look, ...]) -> dict[str, Any]:
    """The windows and the densities of all looks of a target: a reward function made for one fails, and none goes without."""
    windows_s = [_bounds_s(target_look.window) for target_look in target_looks]
    return {"target_window": windows_s, "target_fps": [float(density_json(target_look.fps)) for target_look in target_looks]}


def _bounds_s(window: Window) -> list[float]:
    return [float(window.start_s), float(window.end_s)]
