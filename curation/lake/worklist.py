"""A stage's work: its inputs minus their outcomes, cut into batches in (video, id) order, in memory that doesn't grow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dmforge.curation.lake.shares import ALL, Share
from dmforge.curation.lake.views import AnyStage, View, within
from dmforge.curation.settled import Key
from dmforge.schemas.columns import id_list, id_matrix, schema
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Joined, Record

RANGE_ROWS = 4_000
"""A range of video ids holds about so many inputs: what is in memory at once."""
RANGE_BYTES = 16 << 20
"""Or so many bytes of Parquet."""

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
        return [Key(key, video) for key, video in zip(self.inputs, self.videos, strict=True)]


def pending_batches(view: View, stage: AnyStage, share: Share = ALL) -> Iterator[WorkBatch]:
    """What is still to be done about the videos of a share, lazily.

    Whole batches that are done leave the cut of the others as it was.
    """
    if stage.whole_videos:
        yield from _by_video(view, stage, share)
        return
    size = stage.config.batch_items
    held: list[pa.Table] = []
    rows = 0
    for table in _ranges(view, stage, share):
        held.append(table)
        rows += table.num_rows
        if rows < size:
            continue
        whole = pa.concat_tables(held)
        for start in range(0, rows - rows % size, size):
            yield _batch(stage, whole.slice(start, size))
        held, rows = [whole.slice(rows - rows % size)], rows % size
    if rows:
        yield _batch(stage, pa.concat_tables(held))


def _by_video(view: View, stage: AnyStage, share: Share) -> Iterator[WorkBatch]:
    """A batch ends with the video that makes it large enough. No video lies in two ranges."""
    for table in _ranges(view, stage, share):
        videos = id_matrix(table.column(VIDEO))
        changes = np.flatnonzero((videos[1:] != videos[:-1]).any(axis=1)) + 1
        start = 0
        for end in (*changes.tolist(), table.num_rows):
            if end - start >= stage.config.batch_items or end == table.num_rows:
                yield _batch(stage, table.slice(start, end - start))
                start = end


def _batch(stage: AnyStage, table: pa.Table) -> WorkBatch:
    return WorkBatch(table.select(schema(stage.item).names), id_list(table.column(INPUT)), id_list(table.column(VIDEO)))


def _ranges(view: View, stage: AnyStage, share: Share) -> Iterator[pa.Table]:
    """The pending inputs, range by range of video ids."""
    inputs = view.inputs(stage)
    columns = [*schema(stage.item).names, INPUT, VIDEO]
    stored = sum(part.size_bytes for part in inputs.parts)
    pieces = max(1, sum(part.rows for part in inputs.parts) // RANGE_ROWS, stored // RANGE_BYTES)
    sql = f"SELECT * FROM ({_items(view, stage)}) ORDER BY {VIDEO}, {INPUT}"
    for bounds in share.ranges(pieces):
        found = view.table(sql, bounds)
        if found.num_rows:
            yield _distinct(found.select(columns))


def _items(view: View, stage: AnyStage) -> str:
    """SQL of the pending inputs as the stage wants them."""
    keys = f"i.id AS {INPUT}, i.video AS {VIDEO}"
    if not stage.beside:
        return f"SELECT *, {keys} FROM ({view.pending(stage)}) i"
    first, *_ = schema(stage.item).names
    columns = [f"{_packed('i', stage.reads)} AS {first}"]
    columns += [f"{_packed(name, record)} AS {name}" for name, record in stage.beside.items()]
    joins = [
        f"{_join(view, stage, record)} ({_beside(view, stage, name, record)}) {name} ON {name}.id = i.{name}"
        for name, record in stage.beside.items()
    ]
    return f"SELECT {keys}, {', '.join(columns)} FROM ({view.pending(stage)}) i {' '.join(joins)}"


def _beside(view: View, stage: AnyStage, name: str, record: type[Record]) -> str:
    """SQL of the rows that may stand beside an input: those about the same videos, or all where it may be about another."""
    sql = view.rows(record, before=stage).sql
    if issubclass(stage.item, Joined) and name in stage.item.elsewhere:
        return sql
    return f"SELECT * FROM ({sql}) WHERE {within(record.video_column)}"


def _join(view: View, stage: AnyStage, record: type[Record]) -> str:
    """A row that may still come is waited for: its input stays pending."""
    before = view.stages[: view.stages.index(stage)]
    return "JOIN" if any(record in maker.makes and view.tally(maker).pending for maker in before) else "LEFT JOIN"


def _packed(row: str, record: type[Record]) -> str:
    columns = ", ".join(f'"{name}" := {row}."{name}"' for name in schema(record).names)
    return f"CASE WHEN {row}.id IS NOT NULL THEN struct_pack({columns}) END"


def _distinct(table: pa.Table) -> pa.Table:
    """The same content made from two inputs is one input here: equal ids stand side by side."""
    ids = id_matrix(table.column(INPUT))
    fresh = np.ones(len(ids), bool)
    fresh[1:] = (ids[1:] != ids[:-1]).any(axis=1)
    return table if fresh.all() else table.filter(pa.array(fresh))
