"""The parts of videos that nobody described, as a table for queries: recipes without storylines have none."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from dmforge.curation.contract.collective import View
from dmforge.schemas.columns import schema
from dmforge.schemas.ids import Id

STORYLINES = "storylines"


@dataclass(frozen=True, slots=True)
class UndescribedPart:
    """A part of a video that was shown to a teacher and not described."""

    stage: str
    """The stage that had it described."""
    video: Id
    """The video."""
    start_cs: int
    """Where the part begins."""
    span: str
    """Where it begins and ends, as `12.00 - 20.00`."""
    cause: str
    """The beginning of `why`, without what a provider or a parser says beyond it: it can be counted."""
    why: str
    """What came instead of a description, at the last attempt."""


GAPS = schema(UndescribedPart)
SQL = """
SELECT $stage AS stage, video, gap."window".start_cs AS start_cs,
    format('{{:.2f}} - {{:.2f}}', gap."window".start_cs / 100, gap."window".end_cs / 100) AS span,
    split_part(gap.why, ': ', 2) AS cause, gap.why AS why
FROM (SELECT video, unnest(gaps) AS gap FROM ({}))
"""


def gaps(view: View) -> pa.Table:
    """A row for every part that a storyline lacks."""
    storyline_makers = ((stage, record) for stage in view.stages for record in stage.makes if record.table == STORYLINES)
    gap_tables = [
        view.table(SQL.format(view.rows(record).sql), {"stage": stage.name}).cast(GAPS) for stage, record in storyline_makers
    ]
    return pa.concat_tables([GAPS.empty_table(), *gap_tables])
