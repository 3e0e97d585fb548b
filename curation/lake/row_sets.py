"""Sets of rows as SQL: of all videos, or of a range of them, for which only the parts are named that may have some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dmforge.curation.lake.partition import Bounds
from dmforge.curation.lake.parts import Part
from dmforge.curation.lake.sql_text import range_condition
from dmforge.schemas.records import Record

BuildSql = Callable[[Bounds | None], str]
"""SQL of the rows that may be about the videos of a range, and others beside them; of all rows without a range."""


@dataclass(frozen=True, slots=True)
class RowSet:
    """A set of rows as SQL. Where all rows of its parts count, its extent is known without reading them."""

    build: BuildSql
    record: type[Record]
    parts: tuple[Part, ...]
    is_whole: bool
    """Every row of the parts is current: no join is needed, and the extent is the sum of theirs."""
    is_distinct: bool = False
    """No id stands twice in it, as far as that is known without reading."""

    @property
    def sql(self) -> str:
        """SQL of all rows."""
        return self.build(None)

    def within(self, bounds: Bounds) -> str:
        """SQL of the rows about the videos of a range, with its bounds as the parameters $low and $high."""
        return f"SELECT * FROM ({self.build(bounds)}) WHERE {range_condition(self.record.video_column)}"
