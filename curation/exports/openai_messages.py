"""Export to OpenAI's messages: JSON lines with `tools`, `tool_calls`, and a message of the tool for each clip."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dmforge.curation.exports.conversation_turns import AssistantTurn, assistant_turns, is_task
from dmforge.curation.exports.row_format import ClippedSample, ExportTables, Row, RowFormat, TableRow
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.tool_dialect import FUNCTION, TOOL, print_arguments

TRAJECTORIES, TASKS = "trajectories", "tasks"


def _rows(clipped: ClippedSample, dialect: Dialect) -> Iterator[TableRow]:
    sample, paths = clipped.sample, iter(clipped.paths)
    content = [
        {"type": "text", "text": piece.text} if piece.text is not None else _video(next(paths))
        for piece in sample.transcript.pieces
        if piece.author == "prompt"
    ]
    messages: list[Row] = [{"role": "user", "content": content}]
    for turn in assistant_turns(sample, dialect):
        first_call = sum(len(message.get("tool_calls", ())) for message in messages)
        calls = [_call(first_call + number, turn, number) for number in range(len(turn.looks))]
        thought, _, _ = turn.text.partition(f"\n<{TOOL.look_tag}>")  # templates write that line end before the first call
        messages.append({"role": "assistant", "content": thought} | ({"tool_calls": calls} if calls else {}))
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": [_video(next(paths))]} for call in calls]
    row = {
        "id": sample.id, "messages": messages, "tools": [json.loads(tool) for tool in dialect.tools],
        "clips": clipped.clips_json(), "kind": sample.kind, "gold": sample.gold,
    }  # fmt: skip
    yield TASKS if is_task(sample) else TRAJECTORIES, row


def _video(path: str) -> Row:
    return {"type": "video_url", "video_url": {"url": path}}


def _call(call_number: int, turn: AssistantTurn, look_number: int) -> Row:
    function = {"name": FUNCTION, "arguments": print_arguments(turn.looks[look_number])}
    return {"id": f"call_{call_number + 1}", "type": "function", "function": function}


def _finish(tables: ExportTables) -> None:
    tables.write_tables(TRAJECTORIES, TASKS)


MESSAGES = RowFormat(_rows, _finish, dialects=("tool",))
