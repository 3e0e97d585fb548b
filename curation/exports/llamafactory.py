"""Export to LLaMA-Factory: ShareGPT messages with a file for each `<video>`, those of looks in turns of the observation."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.exports.conversation_turns import is_task, text_messages
from dmforge.curation.exports.row_format import ClippedSample, ExportTables, RowFormat, TableRow
from dmforge.schemas.dialects.dialect import Dialect

ROWS = "rows"


def _rows(clipped: ClippedSample, dialect: Dialect) -> Iterator[TableRow]:
    if is_task(clipped.sample):
        return  # there is nothing to supervise
    messages = text_messages(clipped.sample, dialect, "observation", tells_of_tools=True)
    yield ROWS, {"messages": messages, "videos": clipped.paths, "clips": clipped.clips_json()}


def _finish(tables: ExportTables) -> None:
    corpus_name = tables.manifest.corpus
    tables.write_list(f"{corpus_name}.json", tables.rows(ROWS))
    tables.write_json("dataset_info.json", {corpus_name: {"file_name": f"{corpus_name}.json"} | DATASET_INFO})


DATASET_INFO = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "videos": "videos"},
    "tags": {
        "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
        "observation_tag": "observation", "system_tag": "system",
    },
}  # fmt: skip
LLAMAFACTORY = RowFormat(
    _rows,
    _finish,
    dialects=("span", "tool", "grounding"),
    caveats=(
        "LLaMA-Factory 0.9.5, the latest on PyPI, ends in an IndexError on rows with several clips; its main reads them.",
        "It samples each clip anew: video_fps: 12 and video_maxlen: 256 take all frames. Stamps of a look count from its "
        "own beginning: a span of the text and a stamp don't meet.",
        "In `span` a turn ends behind each look, as in no context of dmforge; --dialect tool gives the ids of our own SFT.",
    ),
)
