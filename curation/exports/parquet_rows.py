"""Writes rows as Parquet, with one schema for all of them and some rows at once in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dmforge.curation.exports.export_place import ExportPlace
from dmforge.curation.exports.row_format import Row
from dmforge.curation.io.batching import batched

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 1_000


def common_schema(rows: Iterable[Row]) -> pa.Schema:
    """What all rows say together: a list that is empty in the first of them has its type."""
    import pyarrow as pa

    schemas: list[Any] = [pa.Table.from_pylist(some).schema for some in batched(rows, ROWS_AT_ONCE)]
    return pa.unify_schemas(schemas, promote_options="permissive")


def write_parquet(place: ExportPlace, name: str, schema: pa.Schema, rows: Iterable[Row]) -> None:
    """Write rows of a schema to a file of an export."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with place.file(name) as file, pq.ParquetWriter(file, schema) as writer:
        for some in batched(rows, ROWS_AT_ONCE):
            writer.write_table(pa.Table.from_pylist(some, schema))
