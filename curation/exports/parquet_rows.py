"""Writes the rows of a table as Parquet, with one schema for all of them and some rows at once in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dmforge.curation.exports.row_format import ExportTables, Row
from dmforge.curation.io.batching import batched

ROWS_AT_ONCE = 1_000


def write_parquet(tables: ExportTables, table: str, name: str, numbered: Callable[[int, Row], Row] | None = None) -> None:
    """Write a table to a file. The schema is what all rows say together, so a list that is empty in the first has its type."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def rows() -> Iterator[Row]:
        for row_number, row in enumerate(tables.rows(table)):
            yield numbered(row_number, row) if numbered else row

    schemas: list[Any] = [pa.Table.from_pylist(some).schema for some in batched(rows(), ROWS_AT_ONCE)]
    schema = pa.unify_schemas(schemas, promote_options="permissive")
    with tables.place.file(name) as path, pq.ParquetWriter(path, schema) as writer:
        for some in batched(rows(), ROWS_AT_ONCE):
            writer.write_table(pa.Table.from_pylist(some, schema))
