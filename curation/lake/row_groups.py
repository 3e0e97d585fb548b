"""Tables of any size as tables of whole groups of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa


def regrouped(tables: Iterable[pa.Table], group_rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of a multiple of `group_rows` each; the last one has what is left."""
    buffered: list[pa.Table] = []
    rows = 0
    for table in tables:
        if not table.num_rows:
            continue
        buffered.append(table)
        rows += table.num_rows
        if rows < group_rows:
            continue
        combined = pa.concat_tables(buffered)
        rows_left = rows % group_rows
        yield combined.slice(0, rows - rows_left)
        buffered, rows = [combined.slice(rows - rows_left)], rows_left
    if rows:
        yield pa.concat_tables(buffered)
