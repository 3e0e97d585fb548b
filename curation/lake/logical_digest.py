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
    records = {record.table: record for stage in view.stages for record in stage.makes}
    digests = [_digest(view, table, _identity(record), "id", f'"{table}"') for table, record in sorted(records.items())]
    return [*digests, _digest(view, Outcome.table, ["stage", "input", "status", "reason", "rows"], "input", Outcome.table)]


def digest_of_all(digests: list[TableDigest]) -> str:
    """One digest over all tables."""
    return hashlib.sha256(
        "".join(f"{table_digest.table} {table_digest.rows} {table_digest.sha256}\n" for table_digest in digests).encode()
    ).hexdigest()


def _identity(record: type[Record]) -> list[str]:
    """The columns that tell rows apart: the id stands for all content but provenance, whose columns are added."""
    return ["id", MADE_FROM, *(field.name for field in fields(record) if field.metadata.get("aside"))]


def _digest(view: LakeView, table: str, columns: list[str], key: str, source: str) -> TableDigest:
    # a running hash for each column: what comes out doesn't depend on how the rows were cut into ranges
    length_hashes = [hashlib.sha256() for _ in columns]
    value_hashes = [hashlib.sha256() for _ in columns]
    rows = 0
    for chunk in _ranges(view, columns, key, source):
        rows += chunk.num_rows
        for index, column in enumerate(chunk.columns):
            texts = column.cast(pa.string()) if pa.types.is_integer(column.type) else column
            cell_bytes = texts.cast(pa.large_binary())
            cells = cast("list[bytes]", cell_bytes.to_pylist())
            length_hashes[index].update(np.fromiter(map(len, cells), "<i8", len(cells)).tobytes())
            value_hashes[index].update(b"".join(cells))
    ((count,),) = view.connection.cursor().execute(f"SELECT count(*) FROM {source}").fetchall()
    if rows != count:
        raise LakeError(f"{count - rows} rows of {table} are duplicates", hint="please report this: it should not happen")
    return TableDigest(
        table,
        rows,
        hashlib.sha256(b"".join(column_hash.digest() for column_hash in (*length_hashes, *value_hashes))).hexdigest(),
    )


def _ranges(view: LakeView, columns: list[str], key: str, source: str) -> Iterator[pa.Table]:
    cursor = view.connection.cursor()
    names = ", ".join(f'"{name}"' for name in columns)
    ((count,),) = cursor.execute(f"SELECT count(*) FROM {source}").fetchall()
    sql = f'SELECT DISTINCT {names} FROM {source} WHERE "{key}" >= $low AND "{key}" < $high ORDER BY "{key}", {names}'
    for bounds in ALL.ranges(1 + count // RANGE_ROWS):
        yield cursor.sql(sql, params=bounds).to_arrow_table()
