"""Export to EasyR1: Parquet of prompts with their answers, each with the overview of its video."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.exports.conversation_turns import prompt_text
from dmforge.curation.exports.parquet_rows import common_schema, write_parquet
from dmforge.curation.exports.row_format import ClippedSample, ExportTables, RowFormat, TableRow
from dmforge.schemas.dialects.dialect import Dialect

ROWS = "rows"


def _rows(clipped: ClippedSample, dialect: Dialect) -> Iterator[TableRow]:
    sample = clipped.sample
    yield (
        ROWS,
        {
            "problem": prompt_text(sample),
            "answer": sample.gold,
            "videos": [clipped.coarse.path],
            "kind": sample.kind,
            "options": list(sample.options),
            "windows": [window.bounds_s for window in sample.windows],
            "target_windows": [look.window.bounds_s for look in sample.target_looks],
            "target_fps": [float(look.fps) for look in sample.target_looks],
            "clips": [clipped.coarse.as_json()],
        },
    )


def _finish(tables: ExportTables) -> None:
    write_parquet(tables.place, "train.parquet", common_schema(tables.rows(ROWS)), tables.rows(ROWS))


EASYR1 = RowFormat(
    _rows,
    _finish,
    cuts_looks=False,
    caveats=(
        "Say data.prompt_key=problem data.answer_key=answer data.video_key=videos, and this folder as data.image_dir.",
        "EasyR1 rolls out one turn: nobody cuts the clips of looks.",
    ),
)
