"""Export to TRL: conversational rows, with a prompt and reward columns for tasks, and also a completion for trajectories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dmforge.curation.exports.conversation_rows import density_json
from dmforge.curation.exports.conversation_turns import AssistantTurn, assistant_turns, is_task
from dmforge.curation.exports.row_format import ClippedSample, ExportTables, Row, RowFormat, TableRow
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.tool_dialect import FUNCTION, TOOL, print_arguments
from dmforge.schemas.errors import InputError
from dmforge.schemas.transcript import Piece

Messages = list[dict[str, Any]]
ROWS = "rows"


def _rows(clipped: ClippedSample, dialect: Dialect) -> Iterator[TableRow]:
    sample = clipped.sample
    prompt_pieces = [piece for piece in sample.transcript.pieces if piece.author == "prompt"]
    prompt_messages = [{"role": "user", "content": _content(prompt_pieces)}]
    completion = {} if is_task(sample) else {"completion": _completion(sample, dialect)}
    # a text, as that reader takes it, too: columns of `datasets` would give every schema the keys of all others
    tool_columns = {"tools": f"[{', '.join(dialect.tools)}]"} if dialect.tools else {}
    files = {"videos": clipped.paths, "clips": clipped.clips_json()}
    yield ROWS, {"prompt": prompt_messages, **completion, **files, **tool_columns, **_reward_columns(sample)}


def _finish(tables: ExportTables) -> None:
    """Write `train.jsonl`. A column has one type in all rows of a file, or `datasets` doesn't read it."""
    has_target_sets = any(len(row["target_window"]) > 1 for row in tables.rows(ROWS))
    tables.write_lines("train.jsonl", tables.rows(ROWS) if has_target_sets else map(_with_one_target, tables.rows(ROWS)))


def _content(pieces: Iterable[Piece]) -> list[dict[str, str]]:
    return [{"type": "video"} if piece.text is None else {"type": "text", "text": piece.text} for piece in pieces]


def _completion(sample: ShardSample, dialect: Dialect) -> Messages:
    """The messages behind the prompt, which the chat template of Qwen3-VL renders to the very text that our SFT shows, if the
    dialect's looks end a turn."""
    messages: Messages = []
    for turn in assistant_turns(sample, dialect):
        messages.append(_with_calls(turn) if dialect.tools and turn.looks else _said(turn.text))
        if dialect.response_role == "user" and turn.looks:
            messages.append({"role": "user", "content": [{"type": "video"} for _ in turn.looks]})
        else:
            messages += [{"role": "tool", "name": FUNCTION, "content": [{"type": "video"}]} for _ in turn.looks]
    return messages


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def _with_calls(turn: AssistantTurn) -> dict[str, Any]:
    """A turn whose calls have their own field. Arguments are a text, as OpenAI has them: as columns of `datasets`, `12` would
    become `12.0` beside `12.5`, and a box that isn't there null."""
    thought, _, _ = turn.text.partition(f"\n<{TOOL.look_tag}>")  # templates write that line end before the first call
    functions = [{"name": FUNCTION, "arguments": print_arguments(look)} for look in turn.looks]
    return _said(thought) | {"tool_calls": [{"type": "function", "function": function} for function in functions]}


def _reward_columns(sample: ShardSample) -> Row:
    """The columns that a reward function is given besides a completion; those of a target are lists, one item a look."""
    if any(target_look.has_limits for target_look in sample.target_looks):
        message = "trl has no column for the box or the token quota of a target: rewards would go without them"
        raise InputError(message, where=sample.id, hint="export --to hf, or select targets without them")
    return {
        "solution": sample.gold,
        "kind": sample.kind,
        "options": list(sample.options),
        "windows": [gold_window.bounds_s for gold_window in sample.windows],
        "needs": sample.needs,
        "target_window": [target_look.window.bounds_s for target_look in sample.target_looks],
        "target_fps": [float(density_json(target_look.fps)) for target_look in sample.target_looks],
    }


def _with_one_target(row: Row) -> Row:
    """The window and the density of the one look of a target, in a corpus where no target has several."""
    window_s, fps = (row[name][0] if row[name] else empty for name, empty in (("target_window", []), ("target_fps", 0.0)))
    return {**row, "target_window": window_s, "target_fps": fps}


TRL = RowFormat(
    _rows,
    _finish,
    dialects=("span", "tool", "grounding"),
    caveats=(
        "TRL 1.16: SFTTrainer reads no `videos` and says nothing of it, so it would train on text alone; GRPOTrainer gives a "
        "rollout the column `prompt` only. Use the prompts and the reward columns with rollouts of your own.",
    ),
)
