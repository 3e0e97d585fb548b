"""A look-up of committed rows by video, whichever recipe made them: what was committed once needn't be made again."""

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
PARTS_IN_MEMORY = 8
"""Parts are in (video, id) order, and so are questions: each is read about once."""


class Recall(Generic[R]):
    """The rows of a table in all commits that count, as they were when this was made."""

    def __init__(self, lake: Lake, record: type[R]) -> None:
        self._record, lake_folder = record, lake.workspace.lake
        parts = [part for commit in lake.commits.values() for part in commit.of(record.table)]
        check_parts(lake_folder, parts)
        self._parts = [
            (*_bounds(part_path, record.video_column), part_path)
            for part_path in sorted(part.path(lake_folder) for part in parts)
        ]
        self._read = lru_cache(PARTS_IN_MEMORY)(pq.read_table)

    def of(self, video: Id) -> list[R]:
        """All rows about a video, from older and newer recipes alike."""
        video_value = pa.scalar(video, pa.binary(ID_BYTES))
        video_rows: list[R] = []
        for first_video, last_video, part_path in self._parts:
            if first_video <= video <= last_video:
                part_table = self._read(part_path)
                video_rows += from_arrow(
                    self._record, part_table.filter(pc.equal(part_table.column(self._record.video_column), video_value))
                )
        return video_rows


def _bounds(part_path: Path, video_column: str) -> tuple[Id, Id]:
    """The first and the last video of a part, from its footer."""
    parquet_metadata = pq.read_metadata(part_path)
    column_index = parquet_metadata.schema.names.index(video_column)
    statistics_by_group = [
        parquet_metadata.row_group(group_index).column(column_index).statistics
        for group_index in range(parquet_metadata.num_row_groups)
    ]
    bound_ids = [
        cast("Id", bound_id)
        for group_statistics in statistics_by_group
        if group_statistics is not None
        for bound_id in (group_statistics.min, group_statistics.max)
    ]
    return min(bound_ids), max(bound_ids)
