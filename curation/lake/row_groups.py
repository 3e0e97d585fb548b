"""Tables of any size as tables of whole groups of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa


def regrouped(tables: Iterable[pa.Table], group_rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of a multiple of `group_rows` each; the last one has what is left."""
    buffered: list[pa.Table] = []
    buffered_rows = 0
    for table in tables:
        if not table.num_rows:
            continue
        buffered.append(table)
        buffered_rows += table.num_rows
        if buffered_rows < group_rows:
            continue
        combined = pa.concat_tables(buffered)
        rows_over = buffered_rows % group_rows
        yield combined.slice(0, buffered_rows - rows_over)
        buffered, buffered_rows = [combined.slice(buffered_rows - rows_over)], rows_over
    if buffered_rows:
        yield pa.concat_tables(buffered)
