"""Tables of any size as tables of whole groups of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa


def regrouped(tables: Iterable[pa.Table], group_rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of a multiple of `group_rows` each; the last one has what is left."""
    buffered_tables: list[pa.Table] = []
    buffered_rows = 0
    for table in tables:
        if not table.num_rows:
            continue
        buffered_tables.append(table)
        buffered_rows += table.num_rows
        if buffered_rows < group_rows:
            continue
        combined_table = pa.concat_tables(buffered_tables)
        rows_over = buffered_rows % group_rows
        yield combined_table.slice(0, buffered_rows - rows_over)
        buffered_tables, buffered_rows = [combined_table.slice(buffered_rows - rows_over)], rows_over
    if buffered_rows:
        yield pa.concat_tables(buffered_tables)
