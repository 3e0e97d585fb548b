"""Pieces of SQL over the files of a lake: paths, unions, the condition for a range of videos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import duckdb
import pyarrow as pa


def range_condition(column: str) -> str:
    """An SQL condition for rows about the videos of a range. Equal rows are about the same video, and parts are in the order of
    videos: so each part is read once, not once a range."""
    return f"{column} >= $low AND {column} < $high"


def union_of(selects: Sequence[str]) -> str:
    return " UNION ALL BY NAME ".join(f"({select})" if len(selects) > 1 else select for select in selects)


def quoted_path(path: object) -> str:
    """A path as an SQL string that names this very file: quotes doubled, wildcards taken literally."""
    return "'" + without_wildcards(path).replace("'", "''") + "'"


def without_wildcards(path: object) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))


@lru_cache(maxsize=256)
def empty_sql(columns: pa.Schema) -> str:
    """SQL of no rows with these columns."""
    with duckdb.connect() as connection:
        connection.register("empty", columns.empty_table())
        described = connection.execute("DESCRIBE empty").fetchall()
    typed = ", ".join(f'NULL::{column_type} AS "{name}"' for name, column_type, *_ in described)
    return f"SELECT * FROM (SELECT {typed}) WHERE false"
