"""What counts now as views that DuckDB alone opens: the tables as audits read them, the same for people, the named questions.

    main.tasks       as `dmforge audit --sql` has it: ids are 16 bytes, times hundredths of a second, densities fractions
    current.tasks    ids as they are printed, times in seconds, densities as text
    audit.funnel     the answer to a named question

What each table and column means stands beside it as DuckDB's comment: in `duckdb_columns()`, and where notebooks look.
Views name the parts that count now. What a later run publishes is seen once they are written again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from dmforge.curation.audit.described_tables import (
    EXTRA_TABLES,
    as_read,
    columns_of_table,
    table_meaning,
    tables_of_recipe,
)
from dmforge.curation.audit.id_lookup import LETTERS
from dmforge.curation.audit.printed_ids import kind_of
from dmforge.curation.audit.query import Tables, compares, is_worked_out, names, query, tables_of, words
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.io.atomic import placing, writing
from dmforge.curation.lake.sql_text import type_sql
from dmforge.curation.lake.views import HELD, LakeView, interruptible
from dmforge.schemas.columns import FRACTION, schema
from dmforge.schemas.records import TABLES, Outcome

READABLE, QUESTIONS = "current", "audit"
"""The schemas of tables for people, and of named questions."""
OPENED_SINCE = "v1.2.0"
"""The oldest version of DuckDB whose clients open a database of views."""
LETTERS_AT_ONCE, HEX_AT_ONCE = 12, 15
"""So many letters of an id are as many bits as so many hexadecimal digits, 60: they fit into a BIGINT."""
AS_IT_IS = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]*")
"""A text that may stand in a script as it is."""


@dataclass(frozen=True, slots=True)
class TableRows:
    """A table whose rows lie in no part of the lake."""

    name: str
    rows: pa.Table


def write_database(view: LakeView, extra_tables: Tables, path: Path) -> int:
    """A database of DuckDB with the views; how many there are."""
    with placing(path) as unfinished_path, interruptible():
        unfinished_path.unlink(missing_ok=True)
        with duckdb.connect(str(unfinished_path), config={"storage_compatibility_version": OPENED_SINCE}) as connection:
            return sum(_carry_out(connection, step) for step in _steps(view, extra_tables, connection))


def write_script(view: LakeView, extra_tables: Tables, path: Path) -> int:
    """A script that makes the same views in any database, and may be run again; how many there are."""
    count = 0
    with writing(path) as file, interruptible(), duckdb.connect() as connection:
        for step in _steps(view, extra_tables, connection):
            count += _carry_out(connection, step)
            sql = step if isinstance(step, str) else f"CREATE OR REPLACE TABLE {step.name} AS {_rows_sql(step.rows)}"
            file.write(f"{sql};\n".encode())
    return count


def _carry_out(connection: duckdb.DuckDBPyConnection, step: str | TableRows) -> bool:
    """Execute a step; whether it makes a view."""
    if isinstance(step, str):
        connection.execute(step)
        return step.startswith("CREATE OR REPLACE VIEW")
    connection.register("coming", step.rows)
    connection.execute(f"CREATE TABLE {step.name} AS SELECT * FROM coming")
    connection.unregister("coming")
    return False


def _steps(view: LakeView, extra_tables: Tables, connection: duckdb.DuckDBPyConnection) -> Iterator[str | TableRows]:
    """What makes the views, in order. Each is carried out in `connection` before the next one is asked for."""
    selects = view.selects()
    view.check_named(" ".join(selects))
    yield from (f"CREATE SCHEMA IF NOT EXISTS {name}" for name in (HELD, READABLE, QUESTIONS))
    yield from (TableRows(f'{HELD}."{name}"', rows) for name, rows in view.in_memory_tables().items())
    yield from (f'CREATE OR REPLACE VIEW main."{table}" AS {sql}' for table, sql in selects.items())
    tables = {**tables_of(view), **extra_tables}
    yield from (TableRows(f'main."{name}"', make_table()) for name, make_table in tables.items())
    yield from (" ".join(statement.replace(" TEMP ", " ", 1).split()) for statement in words().values())
    yield from _macros()
    for table in (*selects, *tables):
        rows_sql = f'SELECT * FROM main."{table}"'
        yield f'CREATE OR REPLACE VIEW {READABLE}."{table}" AS {_readable(connection, rows_sql, _Kinds(table, view.stages))}'
    yield from _comments(tables_of_recipe(view))
    for name in names():
        sql = query(name).sql
        if not compares(name) and not is_worked_out(name):
            yield f'CREATE OR REPLACE VIEW {QUESTIONS}."{name}" AS {_readable(connection, sql, _Kinds(name, ()))}'
            yield f'COMMENT ON VIEW {QUESTIONS}."{name}" IS {_text(query(name).question)}'


def _comments(row_by_table: Mapping[str, type]) -> Iterator[str]:
    """What tables and columns mean, as comments of the database."""
    for table, row in row_by_table.items():
        yield f'COMMENT ON {"TABLE" if table in EXTRA_TABLES else "VIEW"} main."{table}" IS {_text(table_meaning(row))}'
        yield f'COMMENT ON VIEW {READABLE}."{table}" IS {_text(table_meaning(row))}'
        for stored in columns_of_table(table, row):
            for schema_name, column in (("main", stored), (READABLE, as_read(stored))):
                comment = f"{column.meaning} ({column.unit})" if column.unit else column.meaning
                yield f'COMMENT ON COLUMN {schema_name}."{table}"."{column.name}" IS {_text(comment)}'


@dataclass(frozen=True, slots=True)
class _Kinds:
    """SQL of the kind of the ids in a column of a table."""

    table: str
    stages: Sequence[AnyStage]

    def sql(self, column: str) -> str:
        if column == "id" and self.table in TABLES:
            return _text(TABLES[self.table].kind)
        if column == "input" and self.table == Outcome.table and self.stages:
            cases = " ".join(f"WHEN {_text(stage.name)} THEN {_text(stage.reads.kind)}" for stage in self.stages)
            return f"CASE stage {cases} ELSE 'id' END"
        if column == "subject" and self.table == "verdicts":
            return "subject_kind"
        if column == "made_from":
            makers = (stage for stage in self.stages if any(made.table == self.table for made in stage.makes))
            kinds = {stage.reads.kind for stage in makers}
            named = sorted(kinds & set(schema(TABLES[self.table]).names))  # made from what another column names
            cases = " ".join(f'WHEN "{kind}" THEN {_text(kind)}' for kind in named)
            others = kinds - set(named)
            rest = _text(others.pop() if len(others) == 1 else "id")
            return f"CASE made_from {cases} ELSE {rest} END" if named else rest
        return _text(kind_of(column))


def _readable(connection: duckdb.DuckDBPyConnection, rows_sql: str, kinds: _Kinds) -> str:
    """The same rows with each column as people read it."""
    columns = connection.sql(f"SELECT * FROM ({rows_sql}\n) LIMIT 0").to_arrow_table().schema
    values = [_value(f'"{column.name}"', column.type, kinds.sql(column.name), column.name, 0) for column in columns]
    readable_columns = [f'{value} AS "{_name(column)}"' for value, column in zip(values, columns, strict=True)]
    return f"SELECT {', '.join(readable_columns)} FROM ({rows_sql}\n)"


def _value(sql: str, arrow_type: pa.DataType, kind_sql: str, name: str, depth: int) -> str:
    """SQL of a value as people read it."""
    if pa.types.is_binary(arrow_type) or pa.types.is_fixed_size_binary(arrow_type):
        return f"printed_id({kind_sql}, {sql})"
    if name.endswith("_cs") and pa.types.is_integer(arrow_type):
        return f"({sql} / 100)"
    if pa.types.is_list(arrow_type):
        item = _value(f"x{depth}", arrow_type.value_type, kind_sql, name, depth + 1)
        return sql if item == f"x{depth}" else f"list_transform({sql}, lambda x{depth}: {item})"
    if not pa.types.is_struct(arrow_type):
        return sql
    members = list(arrow_type)
    if [member.name for member in members] == [member.name for member in FRACTION]:
        return f"printed_fraction({sql}.num, {sql}.den)"
    values = [
        _value(f"{sql}.{member.name}", member.type, _text(kind_of(member.name)), member.name, depth) for member in members
    ]
    packed = _struct({_name(member): value for member, value in zip(members, values, strict=True)})
    return f"CASE WHEN {sql} IS NOT NULL THEN {packed} END"


def _name(field: pa.Field[Any]) -> str:
    """Seconds are called so."""
    return re.sub("_cs$", "_s", field.name) if pa.types.is_integer(field.type) else field.name


def _macros() -> Iterator[str]:
    """How ids and fractions are printed."""
    yield "CREATE OR REPLACE MACRO id_letter(five_bits) AS " + f"substr('{LETTERS}', 1 + (five_bits)::INTEGER, 1)"
    shifts = range(5 * (LETTERS_AT_ONCE - 1), -1, -5)
    yield "CREATE OR REPLACE MACRO id_letters(bits) AS " + " || ".join(f"id_letter((bits >> {shift}) & 31)" for shift in shifts)
    first, second = (f"('0x' || digits[{at + 1}:{at + HEX_AT_ONCE}])::BIGINT" for at in (0, HEX_AT_ONCE))
    last = f"('0x' || digits[{2 * HEX_AT_ONCE + 1}:])::BIGINT"
    yield (
        "CREATE OR REPLACE MACRO id_text(digits) AS "
        f"id_letters({first}) || id_letters({second}) || id_letter({last} >> 3) || id_letter(({last} & 7) << 2)"
    )
    yield "CREATE OR REPLACE MACRO printed_id(kind, id) AS kind || '_' || id_text(hex(id))"
    yield (
        "CREATE OR REPLACE MACRO printed_fraction(num, den) AS CASE WHEN den = 1 THEN num::VARCHAR "
        "WHEN num::HUGEINT * 1000000 % den = 0 THEN rtrim(format('{:.6f}', num / den), '0') ELSE num || '/' || den END"
    )


def _rows_sql(rows: pa.Table) -> str:
    """Rows as SQL that needs nothing else."""
    types = [type_sql(field.type) for field in rows.schema]
    names_sql = ", ".join(f'"{name}"' for name in rows.column_names)
    nothing = ", ".join(f"NULL::{sql_type}" for sql_type in types)
    values = [f"({', '.join(map(_literal, row.values()))})" for row in rows.to_pylist()]
    listed = f" UNION ALL VALUES {', '.join(values)}" if values else ""
    return f"SELECT * FROM (SELECT {nothing} WHERE false{listed}) AS given({names_sql})"


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"unhex('{value.hex()}')"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return f"'{value!r}'::DOUBLE"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return _struct({name: _literal(member) for name, member in value.items()})
    return str(value).lower()


def _struct(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_text(name)}: {value}" for name, value in values.items()) + "}"


def _text(text: str) -> str:
    if not AS_IT_IS.fullmatch(text):
        return f"decode(unhex('{text.encode().hex()}'))"
    return "'" + text.replace("'", "''") + "'"
