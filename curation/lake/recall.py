"""A look-up of committed rows by video, whichever recipe made them: what was committed once needn't be made again."""

from __future__ import annotations

from functools import lru_cache
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.parts import check_parts, videos_of
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
            (videos_of(lake_folder, part), part.path(lake_folder)) for part in sorted(parts, key=lambda part: part.name)
        ]
        self._read = lru_cache(PARTS_IN_MEMORY)(pq.read_table)

    def of(self, video: Id) -> list[R]:
        """All rows about a video, from older and newer recipes alike."""
        video_value = pa.scalar(video, pa.binary(ID_BYTES))
        video_rows: list[R] = []
        for videos, part_path in self._parts:
            if videos.may_have(video):
                part_table = self._read(part_path)
                video_rows += from_arrow(
                    self._record, part_table.filter(pc.equal(part_table.column(self._record.video_column), video_value))
                )
        return video_rows
