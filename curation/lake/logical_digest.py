"""Logical digests of the rows of a lake, whatever the history of its files. Equal digests are equal corpora."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
import pyarrow as pa

from dmforge.curation.contract.stage_results import MADE_FROM
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.partition import ALL
from dmforge.curation.lake.parts import check_parts
from dmforge.curation.lake.views import LakeView
from dmforge.schemas.columns import SINCE
from dmforge.schemas.errors import LakeError
from dmforge.schemas.records import Outcome, Record

RANGE_ROWS = 250_000


@dataclass(frozen=True, slots=True)
class TableDigest:
    """The digest of all current rows of one table."""

    table: str
    rows: int
    sha256: str


def check_every_part(lake: Lake) -> None:
    """Check that every byte of every part is what its commit says: else an error names the part."""
    check_parts(lake.workspace.lake, [part for commit in lake.commits.values() for part in commit.parts])


def table_digests(view: LakeView) -> list[TableDigest]:
    """One digest for each table that the recipe's stages fill, and one for the outcomes."""
    record_by_table = {record.table: record for stage in view.stages for record in stage.makes}
    digests_of_tables = [
        _digest(view, table_name, _identity(record), "id", f'"{table_name}"')
        for table_name, record in sorted(record_by_table.items())
    ]
    return [
        *digests_of_tables,
        _digest(view, Outcome.table, ["stage", "input", "status", "reason", "rows"], "input", Outcome.table),
    ]


def digest_of_all(digests: list[TableDigest]) -> str:
    """One digest over all tables."""
    return hashlib.sha256(
        "".join(f"{table_digest.table} {table_digest.rows} {table_digest.sha256}\n" for table_digest in digests).encode()
    ).hexdigest()


def _identity(record: type[Record]) -> list[str]:
    """The columns that tell rows apart: the id stands for all content but provenance, whose columns are added. Later ones are
    not, so that digests of older versions hold: what a row was made from stands for them."""
    first_fields = (record_field for record_field in fields(record) if SINCE not in record_field.metadata)
    return ["id", MADE_FROM, *(record_field.name for record_field in first_fields if record_field.metadata.get("aside"))]


def _digest(view: LakeView, table_name: str, column_names: list[str], order_column: str, table_sql: str) -> TableDigest:
    # a running hash for each column: what comes out doesn't depend on how the rows were cut into ranges
    length_hashes = [hashlib.sha256() for _ in column_names]
    value_hashes = [hashlib.sha256() for _ in column_names]
    row_count = 0
    for row_chunk in _ranges(view, column_names, order_column, table_sql):
        row_count += row_chunk.num_rows
        for column_index, column_array in enumerate(row_chunk.columns):
            text_column = column_array.cast(pa.string()) if pa.types.is_integer(column_array.type) else column_array
            cell_bytes = text_column.cast(pa.large_binary())
            cells = cast("list[bytes]", cell_bytes.to_pylist())
            length_hashes[column_index].update(np.fromiter(map(len, cells), "<i8", len(cells)).tobytes())
            value_hashes[column_index].update(b"".join(cells))
    ((counted_rows,),) = view.connection.cursor().execute(f"SELECT count(*) FROM {table_sql}").fetchall()
    if row_count != counted_rows:
        raise LakeError(
            f"{counted_rows - row_count} rows of {table_name} are duplicates", hint="please report this: it should not happen"
        )
    return TableDigest(
        table_name,
        row_count,
        hashlib.sha256(b"".join(column_hash.digest() for column_hash in (*length_hashes, *value_hashes))).hexdigest(),
    )


def _ranges(view: LakeView, column_names: list[str], order_column: str, table_sql: str) -> Iterator[pa.Table]:
    cursor = view.connection.cursor()
    quoted_columns = ", ".join(f'"{column_name}"' for column_name in column_names)
    ((counted_rows,),) = cursor.execute(f"SELECT count(*) FROM {table_sql}").fetchall()
    in_range = f'"{order_column}" >= $low AND "{order_column}" < $high'
    sql = f'SELECT DISTINCT {quoted_columns} FROM {table_sql} WHERE {in_range} ORDER BY "{order_column}", {quoted_columns}'
    for id_bounds in ALL.ranges(1 + counted_rows // RANGE_ROWS):
        yield cursor.sql(sql, params=id_bounds).to_arrow_table()
