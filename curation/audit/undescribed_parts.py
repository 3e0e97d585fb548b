"""The parts of videos that nobody described, as a table for queries: recipes without storylines have none."""

from __future__ import annotations

import pyarrow as pa

from dmforge.curation.contract.collective import View

STORYLINES = "storylines"
GAPS = pa.schema([
    ("stage", pa.string()), ("video", pa.binary(16)), ("start_cs", pa.int64()), ("span", pa.string()), ("cause", pa.string()),
    ("why", pa.string()),
])  # fmt: skip
"""`cause` is the beginning of `why`, without what a provider or a parser says beyond it: it can be counted."""
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
