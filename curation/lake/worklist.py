"""A stage's work: its inputs minus their outcomes, cut into batches in (video, id) order, in memory that doesn't grow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.contract.stage_results import Key
from dmforge.curation.lake.partition import ALL, Bounds, Share
from dmforge.curation.lake.row_groups import regrouped
from dmforge.curation.lake.views import LakeView
from dmforge.schemas.columns import id_list, id_matrix, schema
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Joined, Record

RANGE_ROWS = 4_000
"""About how many inputs a range of video ids holds: they are in memory at once."""
RANGE_BYTES = 16 << 20
"""About how many bytes of Parquet such a range holds at most."""

INPUT, VIDEO = "input_id", "input_video"
"""Columns beside the items: what their outcomes will be about. No record has fields of these names."""


@dataclass(frozen=True, slots=True)
class WorkBatch:
    """Inputs that are committed together."""

    items: pa.Table
    """In the columns of what the stage is given."""
    inputs: list[Id]
    videos: list[Id]

    def keys(self) -> list[Key]:
        return [Key(input_id, video_id) for input_id, video_id in zip(self.inputs, self.videos, strict=True)]


def pending_batches(view: LakeView, stage: AnyStage, share: Share = ALL) -> Iterator[WorkBatch]:
    """The batches that are still to be done about the videos of a share, lazily.

    Where whole batches are done, the others are cut as they were before.
    """
    if stage.whole_videos:
        yield from _by_video(view, stage, share)
        return
    batch_size = stage.config.batch_items
    for pending_table in regrouped(_pending_ranges(view, stage, share), batch_size):
        for batch_start in range(0, pending_table.num_rows, batch_size):
            yield _batch(stage, pending_table.slice(batch_start, batch_size))


def _by_video(view: LakeView, stage: AnyStage, share: Share) -> Iterator[WorkBatch]:
    """Batches of whole videos: each ends with the video that makes it large enough. No video lies in two ranges."""
    for pending_table in _pending_ranges(view, stage, share):
        video_id_rows = id_matrix(pending_table.column(VIDEO))
        video_starts = np.flatnonzero((video_id_rows[1:] != video_id_rows[:-1]).any(axis=1)) + 1
        batch_start = 0
        for video_end in (*video_starts.tolist(), pending_table.num_rows):
            if video_end - batch_start >= stage.config.batch_items or video_end == pending_table.num_rows:
                yield _batch(stage, pending_table.slice(batch_start, video_end - batch_start))
                batch_start = video_end


def _batch(stage: AnyStage, input_table: pa.Table) -> WorkBatch:
    return WorkBatch(
        input_table.select(schema(stage.item).names), id_list(input_table.column(INPUT)), id_list(input_table.column(VIDEO))
    )


def _pending_ranges(view: LakeView, stage: AnyStage, share: Share) -> Iterator[pa.Table]:
    """The pending inputs, range by range of video ids."""
    input_row_set = view.inputs(stage)
    column_names = [*schema(stage.item).names, INPUT, VIDEO]
    stored_bytes = sum(part.size_bytes for part in input_row_set.parts)
    range_count = max(1, sum(part.rows for part in input_row_set.parts) // RANGE_ROWS, stored_bytes // RANGE_BYTES)
    join_kinds = {name: _join_kind(view, stage, record) for name, record in stage.beside.items()}
    for range_bounds in share.ranges(range_count):
        id_bounds = view.unsettled(stage, range_bounds)
        if id_bounds is None:
            continue
        items_sql = f"SELECT * FROM ({_items_sql(view, stage, id_bounds, join_kinds)}) ORDER BY {VIDEO}, {INPUT}"
        pending_table = view.table(items_sql, id_bounds)
        if pending_table.num_rows:
            yield _distinct_inputs(pending_table.select(column_names))


def _items_sql(view: LakeView, stage: AnyStage, bounds: Bounds, join_kinds: Mapping[str, str]) -> str:
    """SQL of the pending inputs of a range as the stage wants them."""
    key_columns = f"i.id AS {INPUT}, i.video AS {VIDEO}"
    pending_sql = view.pending(stage, bounds)
    if not stage.beside:
        return f"SELECT *, {key_columns} FROM ({pending_sql}) i"
    input_column, *_ = schema(stage.item).names
    column_sqls = [f"{_struct_sql('i', stage.reads)} AS {input_column}"]
    column_sqls += [f"{_struct_sql(name, record)} AS {name}" for name, record in stage.beside.items()]
    join_sqls = [
        f"{join_kinds[name]} ({_joined_rows_sql(view, stage, name, record, bounds)}) {name} ON {name}.id = i.{name}"
        for name, record in stage.beside.items()
    ]
    return f"SELECT {key_columns}, {', '.join(column_sqls)} FROM ({pending_sql}) i {' '.join(join_sqls)}"


def _joined_rows_sql(view: LakeView, stage: AnyStage, joined_name: str, record: type[Record], bounds: Bounds) -> str:
    """SQL of the rows that may stand beside an input: those about the same videos, or all where it may be about another."""
    joined_rows = view.rows(record, before_stage=stage)
    if issubclass(stage.item, Joined) and joined_name in stage.item.elsewhere:
        return joined_rows.sql
    return joined_rows.within(bounds)


def _join_kind(view: LakeView, stage: AnyStage, record: type[Record]) -> str:
    """How rows are joined: an inner join where they may still come, so that their input stays pending; else a left join."""
    earlier_stages = view.stages[: view.stages.index(stage)]
    return "JOIN" if any(record in maker.makes and view.tally(maker).pending for maker in earlier_stages) else "LEFT JOIN"


def _struct_sql(alias: str, record: type[Record]) -> str:
    struct_fields = ", ".join(f'"{column_name}" := {alias}."{column_name}"' for column_name in schema(record).names)
    return f"CASE WHEN {alias}.id IS NOT NULL THEN struct_pack({struct_fields}) END"


def _distinct_inputs(joined_table: pa.Table) -> pa.Table:
    """The inputs, each once: the same content made from two rows is one input. Equal ids stand side by side."""
    input_id_rows = id_matrix(joined_table.column(INPUT))
    is_first = np.ones(len(input_id_rows), bool)
    is_first[1:] = (input_id_rows[1:] != input_id_rows[:-1]).any(axis=1)
    return joined_table if is_first.all() else joined_table.filter(pa.array(is_first))
