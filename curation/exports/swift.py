"""Export to ms-swift: messages with `<video>`, the clips in messages of the tool, and `loss` on those of the assistant.

A turn whose looks show nothing of what is to be seen is kept, since the next one goes on from it; nobody learns to write it.
"""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.exports.conversation_turns import assistant_turns, is_task, text_messages
from dmforge.curation.exports.row_format import ClippedSample, ExportTables, Row, RowFormat, TableRow
from dmforge.schemas.dialects.dialect import Dialect

TRAJECTORIES, TASKS = "trajectories", "tasks"


def _rows(clipped: ClippedSample, dialect: Dialect) -> Iterator[TableRow]:
    sample = clipped.sample
    is_trained = (not turn.misses(sample.windows) for turn in assistant_turns(sample, dialect))
    messages: list[Row] = [
        {**message, "loss": next(is_trained)} if message["role"] == "assistant" else dict(message)
        for message in text_messages(sample, dialect, "tool", tells_of_tools=True)
    ]
    row = {"messages": messages, "videos": clipped.paths, "clips": clipped.clips_json()}
    if is_task(sample):
        yield TASKS, {**row, "solution": sample.gold}
    else:
        yield TRAJECTORIES, row


def _finish(tables: ExportTables) -> None:
    tables.write_tables(TRAJECTORIES, TASKS)


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
