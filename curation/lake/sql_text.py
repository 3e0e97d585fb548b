"""Pieces of SQL over the files of a lake: paths, unions, the condition for a range of videos."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

SCALARS: dict[pa.DataType, str] = {
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
}


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
    return "".join(f"[{path_char}]" if path_char in "*?[" else path_char for path_char in str(path))


def empty_sql(columns: pa.Schema) -> str:
    """SQL of no rows with these columns."""
    typed_nulls = ", ".join(f'NULL::{type_sql(field.type)} AS "{field.name}"' for field in columns)
    return f"SELECT * FROM (SELECT {typed_nulls}) WHERE false"


def type_sql(arrow_type: pa.DataType) -> str:
    """DuckDB's name of a column's type: the types are those that `columns.column` gives."""
    if pa.types.is_list(arrow_type):
        return f"{type_sql(arrow_type.value_type)}[]"
    if pa.types.is_struct(arrow_type):
        typed_fields = ", ".join(f'"{field.name}" {type_sql(field.type)}' for field in arrow_type)
        return f"STRUCT({typed_fields})"
    return "BLOB" if pa.types.is_fixed_size_binary(arrow_type) else SCALARS[arrow_type]
