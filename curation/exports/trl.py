"""Export to TRL: conversational rows, with a prompt and reward columns for tasks, and also a completion for trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dmforge.curation.exports.conversation_rows import density_json, looks_of, write_clips
from dmforge.curation.exports.conversation_turns import AssistantTurn, assistant_turns
from dmforge.curation.io.atomic import write_bytes, write_json_lines
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.dialects.dialect import Dialect, DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.dialects.tool_dialect import FUNCTION, TOOL, print_arguments
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import Piece

Messages = list[dict[str, Any]]
TargetColumns = Callable[[tuple[Look, ...]], dict[str, Any]]
"""Writes the looks of a target as columns of a row."""


def to_trl(corpus: Corpus, folder: Path, dialect: DialectName = "span") -> int:
    """Write `train.jsonl` and the videos that it names."""
    # a column has one type in all rows of a file, or `datasets` doesn't read it
    has_target_sets = any(sample.further_targets for packed_video in corpus.videos() for sample in packed_video.samples)
    target_columns = _target_list_columns if has_target_sets else _target_columns
    return write_json_lines(folder / "train.jsonl", _rows(corpus, folder, DIALECTS[dialect], target_columns))


def _rows(corpus: Corpus, folder: Path, dialect: Dialect, target_columns: TargetColumns) -> Iterator[dict[str, Any]]:
    # a text, as that reader takes it, too: columns of `datasets` would give every schema the keys of all others
    tool_columns = {"tools": f"[{', '.join(dialect.tools)}]"} if dialect.tools else {}
    for packed_video in corpus.videos():
        coarse_path = f"videos/{packed_video.key}.coarse.mp4"
        write_bytes(folder / coarse_path, packed_video.coarse)
        for sample in packed_video.samples:
            completion_messages, looks = _completion(sample, dialect)
            prompt_pieces = [piece for piece in sample.transcript.pieces if piece.author == "prompt"]
            prompt_messages = [{"role": "user", "content": _content(prompt_pieces)}]
            clip_paths = write_clips(corpus, packed_video, sample, looks, folder)
            if not clip_paths:
                reward_columns = _reward_columns(sample, target_columns)
                yield {"prompt": prompt_messages, "videos": [coarse_path], **tool_columns, **reward_columns}
                continue
            yield {
                "prompt": prompt_messages,
                "completion": completion_messages,
                "videos": [coarse_path, *clip_paths],
                **tool_columns,
                **_reward_columns(sample, target_columns),
            }


def _content(pieces: Iterable[Piece]) -> list[dict[str, str]]:
    return [{"type": "video"} if piece.text is None else {"type": "text", "text": piece.text} for piece in pieces]


def _completion(sample: ShardSample, dialect: Dialect) -> tuple[Messages, list[Look]]:
    """The messages behind the prompt, and the looks whose clips stand in them."""
    if dialect.turn_end:
        turns = assistant_turns(sample, dialect)
        return _in_turns(turns, dialect), [look for turn in turns for look in turn.looks]
    transcript = say_in("span", sample.transcript, sample.id)  # in one message of the assistant nobody else has turns
    pieces = [piece for piece in transcript.pieces if piece.author != "prompt"]
    return [{"role": "assistant", "content": _content(pieces)}], looks_of(sample)


def _in_turns(turns: Sequence[AssistantTurn], dialect: Dialect) -> Messages:
    """The conversation, which the chat template of Qwen3-VL renders to the very text that our SFT shows."""
    messages: Messages = []
    for turn in turns:
        messages.append(_with_calls(turn) if dialect.tools and turn.looks else _said(turn.text))
        if dialect.response_role == "tool":
            messages += [{"role": "tool", "name": FUNCTION, "content": [{"type": "video"}]} for _ in turn.looks]
        elif turn.looks:
            messages.append({"role": dialect.response_role, "content": [{"type": "video"} for _ in turn.looks]})
    return messages


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def _with_calls(turn: AssistantTurn) -> dict[str, Any]:
    """A turn whose calls have their own field. Arguments are a text, as OpenAI has them: as columns of `datasets`, `12` would
    become `12.0` beside `12.5`, and a box that isn't there null."""
    thought, _, _ = turn.text.partition(f"\n<{TOOL.look_tag}>")  # templates write that line end before the first call
    functions = [{"name": FUNCTION, "arguments": print_arguments(look)} for look in turn.looks]
    return _said(thought) | {"tool_calls": [{"type": "function", "function": function} for function in functions]}


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
