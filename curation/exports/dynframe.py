"""Export to DynFrame's own files: ShareGPT conversations (DM-CoT) and Alpaca lines (DM-RL), with one video a row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from dmforge.curation.exports.conversation_rows import (
    VIDEO_MARK,
    assistant_text,
    density_json,
    looks_of,
    refuse_limits,
    refuse_target_sets,
    user_text,
)
from dmforge.curation.exports.row_format import ClippedSample, ExportTables, Row, RowFormat, TableRow
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.looks import Look, print_span

CONVERSATIONS, TASKS = "conversations", "tasks"


def _rows(clipped: ClippedSample, dialect: Dialect) -> Iterator[TableRow]:
    sample = clipped.sample
    refuse_limits(sample, "dynframe")
    looks = looks_of(sample)
    if len(looks) == 1:  # the format has one density a row, and its trainer cuts one clip
        yield CONVERSATIONS, _conversation(sample, looks[0], clipped.grid_path)
    elif not looks and sample.target is not None:
        refuse_target_sets(sample, "dynframe")
        yield TASKS, _task(sample, sample.target, clipped.grid_path)


def _finish(tables: ExportTables) -> None:
    """Write `<corpus>.json` of trajectories or `<corpus>.jsonl` of tasks, and `dataset_info.json`."""
    corpus_name, dataset_info = tables.manifest.corpus, dict[str, Any]()
    if tables.counts[CONVERSATIONS]:
        tables.write_list(f"{corpus_name}.json", map(_numbered, count(), tables.rows(CONVERSATIONS)))
        dataset_info[corpus_name] = {"file_name": f"{corpus_name}.json", **SHAREGPT}
    if tables.counts[TASKS]:
        tables.write_lines(f"{corpus_name}.jsonl", tables.rows(TASKS))
        name = f"{corpus_name}_rl" if tables.counts[CONVERSATIONS] else corpus_name
        dataset_info[name] = {"file_name": f"{corpus_name}.jsonl", **ALPACA}
    tables.write_json("dataset_info.json", dataset_info)


def _numbered(row_number: int, row: Row) -> Row:
    """A row with its number in the file, unless it was imported from one that had another."""
    return {"index": row_number} | {name: value for name, value in row.items() if name != "index" or value is not None}


def _conversation(sample: ShardSample, look: Look, relative_path: str) -> dict[str, Any]:
    imported_row = _imported_row(sample)
    # a transcript imported from such a file holds the line end after the clip already
    response_text = "".join(
        VIDEO_MARK if piece.text is None else piece.text for piece in sample.transcript.pieces if piece.author != "prompt"
    )
    conversation_turns = [
        {"from": "human", "value": imported_row.get("prompt", user_text(sample))},
        {"from": "gpt", "value": response_text if imported_row else assistant_text(sample)},
    ]
    fps = density_json(look.fps)
    return {
        "index": imported_row.get("index"), "video": imported_row.get("video", [relative_path]),
        "conversations": conversation_turns,
        "gemini_suggested_fps": imported_row.get("gemini_suggested_fps", fps),
        "original_fps": imported_row.get("original_fps", fps),
    }  # fmt: skip


def _task(sample: ShardSample, target_look: Look, relative_path: str) -> dict[str, Any]:
    imported_row = _imported_row(sample)
    span_text = print_span(target_look.window)
    return {
        "prompt": imported_row.get("prompt", user_text(sample)),
        "video": imported_row.get("video", relative_path),
        "answer": imported_row.get("answer", span_text if sample.kind == "grounding" else sample.gold),
        "fps": density_json(target_look.fps),
        "gt_span_start": float(target_look.window.start_s),
        "gt_span_end": float(target_look.window.end_s),
    }


def _imported_row(sample: ShardSample) -> dict[str, Any]:
    """The fields of the row that the sample was imported from, if it was."""
    return json.loads(sample.extras).get("dynframe", {}) if sample.extras else {}


SHAREGPT: dict[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "video": "video"},
    "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
}
ALPACA: dict[str, Any] = {
    "formatting": "alpaca",
    "columns": {"prompt": "prompt", "query": "prompt", "response": "", "history": "", "video": "video"},
    "extras": {"answer": "answer", "fps": "fps", "gt_span_start": "gt_span_start", "gt_span_end": "gt_span_end"},
}
DYNFRAME = RowFormat(
    _rows,
    _finish,
    cuts_looks=False,
    has_coarse=False,
    has_grid=True,
    caveats=(
        "It has one clip a row, which its own runtime cuts: trajectories with several looks, or without one, are left out.",
    ),
)
