"""A condition that a person types, asked of candidates and their scores where it can do no harm.

It is SQL, so it is asked where all typed SQL is, of one table that holds what it may see. It is parsed alone first, and held to
be one expression.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa

from dmforge.curation.audit import foreign, locked
from dmforge.curation.lake.views import interruptible
from dmforge.filters.selection import HELD
from dmforge.schemas.errors import InputError
from dmforge.schemas.visible import storable

WHERE = "--where"
LIMITS = foreign.Limits()
MEND = "give one condition, as in: answer >= 0.95"
TABLE = "judged"
"""A row for each candidate: a column for each filter, and what it is about."""
OPTION = foreign.Option(WHERE, "ask for less")
SEEN = """
SELECT c.id, t.task_kind AS kind, t.source, t.licence, t.split, t.question, t.answer AS gold, c.answer AS answered,
    c.attempt, c.teacher, c.window_source, v.duration_cs / 100.0 AS duration_s,
    (c.looks[1].window.end_cs - c.looks[1].window.start_cs) / 100.0 AS looked_s,
    c.looks[1].fps.num / c.looks[1].fps.den AS density_fps
FROM standing s JOIN candidates c ON c.id = s.id JOIN tasks t ON t.id = c.task LEFT JOIN videos v ON v.id = c.video
ORDER BY c.id
"""
SCORES = """
SELECT c.id, v.filter, min(v.score) AS score
FROM (SELECT id, video, unnest([id, task, video]) AS subject FROM standing) c
    JOIN verdicts v ON v.subject = c.subject AND v.video = c.video
GROUP BY ALL
"""


def asking(where: str, limits: foreign.Limits = LIMITS) -> Callable[[duckdb.DuckDBPyConnection], pa.Table]:
    """What a `Selection` asks: of every candidate, whether a condition holds."""

    def holds(connection: duckdb.DuckDBPyConnection) -> pa.Table:
        _hold_to_one_expression(connection, where)
        with interruptible():
            judged = _judged(connection)
        return _held(where, judged, limits)

    return holds


def _held(where: str, judged: pa.Table, limits: foreign.Limits) -> pa.Table:
    sql = f"SELECT id, CAST((\n{where}\n) AS BOOLEAN) AS holds FROM {TABLE}"
    told = locked.Told(sql, {}, {}, (), (), (TABLE,), limits.memory_mb)
    try:
        with foreign.sandboxed(told, {TABLE: judged}, limits.wall_s, OPTION) as batches:
            answered = _once_each(batches, judged)
    except InputError as error:
        mend = f"give a condition over these columns: {', '.join(judged.column_names[1:])}"
        raise InputError(error.message, where=WHERE, mend=mend) from None
    return answered


def _once_each(batches: pa.RecordBatchReader, judged: pa.Table) -> pa.Table:
    """One answer a candidate. An expression may give more: columns, by `COLUMNS(*)`, and rows without end, by `unnest`."""
    read: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches if len(batches.schema) == len(HELD) else ():
        read.append(batch)
        rows += batch.num_rows
        if rows > judged.num_rows:
            break
    answered = pa.Table.from_batches(read, batches.schema)
    if len(answered.schema) != len(HELD) or not _same_ids(answered, judged):
        raise InputError("not one answer for each candidate", where=WHERE, mend=MEND)
    return answered


def _hold_to_one_expression(connection: duckdb.DuckDBPyConnection, where: str) -> None:
    """By DuckDB's own parser, alone: what closes our parenthesis and opens another one later is more than an expression."""
    if storable(where) != where:
        raise InputError("the condition holds what is no text in UTF-8", where=WHERE, mend=MEND)
    (plain, _), *_ = _parsed(connection, "true")
    found = _parsed(connection, where)
    if len(found) != 1 or found[0][0] != plain or len(found[0][1]) != 1:
        raise InputError("more than a condition", where=WHERE, mend=MEND)
    (expression,) = found[0][1]
    # `()` is a row of nothing: the text is empty, or a comment
    if expression.get("function_name") == "row" and not expression["arguments"]:
        raise InputError("the condition is empty", where=WHERE, mend=MEND)


def _parsed(connection: duckdb.DuckDBPyConnection, where: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The statements of `SELECT (where)`: all their clauses but the list, and the list."""
    ((told,),) = connection.execute("SELECT json_serialize_sql($sql)", {"sql": f"SELECT (\n{where}\n)"}).fetchall()
    tree = json.loads(told)
    if tree["error"]:
        raise InputError(tree["error_message"], where=WHERE, mend=MEND)
    nodes = [statement["node"] for statement in tree["statements"]]
    return [({**node, "select_list": None}, node.get("select_list", [])) for node in nodes]


def _same_ids(found: pa.Table, judged: pa.Table) -> bool:
    one, other = (rows.select(["id"]).sort_by("id") for rows in (found, judged))
    return bool(one.equals(other))


def _judged(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """A column for each filter. They are numbered in SQL and named behind it: a name is no SQL, whatever it holds."""
    seen, scores = connection.sql(SEEN).to_arrow_table(), connection.sql(SCORES).to_arrow_table()
    connection.register("seen", seen)
    connection.register("scored", scores)
    names = [row[0] for row in connection.execute("SELECT DISTINCT filter FROM scored ORDER BY filter").fetchall()]
    columns = "".join(f", min(CASE WHEN filter = ${at} THEN score END) AS s{at}" for at in range(1, len(names) + 1))
    pivot = f"SELECT id{columns} FROM scored GROUP BY id"
    both = f"SELECT s.*, p.* EXCLUDE (id) FROM seen s LEFT JOIN ({pivot}) p ON p.id = s.id"
    found = connection.sql(both, params=names).to_arrow_table()
    connection.unregister("seen")
    connection.unregister("scored")
    own = found.column_names[: len(seen.column_names)]
    return found.rename_columns([*own, *(f"{name}_score" if name in own else name for name in names)])
