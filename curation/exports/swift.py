"""Export to ms-swift: messages with `<video>`, the clips in messages of the tool, and `loss` on those of the assistant."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.exports.conversation_turns import is_task, text_messages
from dmforge.curation.exports.row_format import ClippedSample, ExportTables, Row, RowFormat, TableRow
from dmforge.schemas.dialects.dialect import Dialect

TRAJECTORIES, TASKS = "trajectories", "tasks"


def _rows(clipped: ClippedSample, dialect: Dialect) -> Iterator[TableRow]:
    sample = clipped.sample
    messages: list[Row] = [
        {**message, "loss": True} if message["role"] == "assistant" else dict(message)
        for message in text_messages(sample, dialect, "tool", tells_of_tools=True)
    ]
    row = {"messages": messages, "videos": clipped.paths, "clips": clipped.clips_json()}
    if is_task(sample):
        yield TASKS, {**row, "solution": sample.gold}
    else:
        yield TRAJECTORIES, row


def _finish(tables: ExportTables) -> None:
    for table in (TRAJECTORIES, TASKS):
        if tables.counts[table]:
            tables.write_lines(f"{table}.jsonl", tables.rows(table))


SWIFT = RowFormat(
    _rows,
    _finish,
    dialects=("tool", "span", "grounding"),
    caveats=(
        "ms-swift takes paths from the folder in which it is started: start it in the folder of the export.",
        "It samples each clip anew: FPS=12 FPS_MIN_FRAMES=2 takes all frames. Stamps of a look count from the look's own "
        "beginning: a span of the text and a stamp don't meet.",
    ),
)
