"""Rows of a table about one video, whichever recipe they were made under: what was committed once needn't be made again."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.parts import check_parts
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.records import Record

R = TypeVar("R", bound=Record)
PARTS_HELD = 8
"""Parts are in (video, id) order, and so are questions: each is read about once."""


class Recall(Generic[R]):
    """The rows of a table in all commits that count, as they were when this was made."""

    def __init__(self, lake: Lake, record: type[R]) -> None:
        self._record, folder = record, lake.workspace.lake
        parts = [part for commit in lake.commits.values() for part in commit.of(record.table)]
        check_parts(folder, parts)
        self._parts = [(*_bounds(path, record.video_column), path) for path in sorted(part.path(folder) for part in parts)]
        self._read = lru_cache(PARTS_HELD)(pq.read_table)

    def of(self, video: Id) -> list[R]:
        """What is there about a video, from older and newer recipes alike."""
        wanted = pa.scalar(video, pa.binary(ID_BYTES))
        found: list[R] = []
        for low, high, path in self._parts:
            if low <= video <= high:
                table = self._read(path)
                found += from_arrow(self._record, table.filter(pc.equal(table.column(self._record.video_column), wanted)))
        return found


def _bounds(path: Path, column: str) -> tuple[Id, Id]:
    """The first and the last video of a part, from its footer."""
    told = pq.read_metadata(path)
    at = told.schema.names.index(column)
    groups = [told.row_group(number).column(at).statistics for number in range(told.num_row_groups)]
    ends = [cast("Id", end) for group in groups if group is not None for end in (group.min, group.max)]
    return min(ends), max(ends)
