"""A condition that a person types, asked of candidates and their scores where it can do no harm.

It is SQL, so it gets a database of its own: in memory, with copies of what it may see, without files, network, extensions or
settings, and dropped afterwards. It is parsed alone first and held to be one expression; whatever it is, there is nothing
there to be changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa

from dmforge.curation.lake.views import interruptible
from dmforge.schemas.errors import InputError

WHERE = "--where"
MEND = "give one condition, as in: answer >= 0.95"
SANDBOX: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
    "python_scan_all_frames": False,
    "lock_configuration": True,
}
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


def asking(where: str) -> Callable[[duckdb.DuckDBPyConnection], pa.Table]:
    """What a `Selection` asks: of every candidate, whether a condition holds."""

    def holds(connection: duckdb.DuckDBPyConnection) -> pa.Table:
        with interruptible():
            seen, scores = connection.sql(SEEN).to_arrow_table(), connection.sql(SCORES).to_arrow_table()
        return _held(where, seen, scores)

    return holds


def _held(where: str, seen: pa.Table, scores: pa.Table) -> pa.Table:
    with duckdb.connect(config=SANDBOX) as sandbox:
        judged = _with_scores(sandbox, seen, scores)
        sandbox.register("judged", judged)
        condition = f"SELECT id, CAST((\n{where}\n) AS BOOLEAN) AS holds FROM judged"
        with interruptible():
            try:
                _hold_to_one_expression(sandbox, where)
                found = sandbox.sql(condition).to_arrow_table()
            except duckdb.Error as error:
                told, known = str(error).splitlines()[0], ", ".join(judged.column_names[1:])
                raise InputError(told, where=WHERE, mend=f"give a condition over these columns: {known}") from None
        # one expression may still give many columns, `COLUMNS(*)`, or many rows, `unnest([true, true])`
        if found.num_columns != 2 or not _same_ids(found, judged):
            raise InputError("not one answer for each candidate", where=WHERE, mend=MEND)
        return found


def _hold_to_one_expression(sandbox: duckdb.DuckDBPyConnection, where: str) -> None:
    """By DuckDB's own parser, alone: what closes our parenthesis and opens another one later is more than an expression."""
    (plain, _), *_ = _parsed(sandbox, "true")
    found = _parsed(sandbox, where)
    if len(found) != 1 or found[0][0] != plain or len(found[0][1]) != 1:
        raise InputError("more than a condition", where=WHERE, mend=MEND)
    (expression,) = found[0][1]
    # `()` is a row of nothing: the text is empty, or a comment
    if expression.get("function_name") == "row" and not expression["arguments"]:
        raise InputError("the condition is empty", where=WHERE, mend=MEND)


def _parsed(sandbox: duckdb.DuckDBPyConnection, where: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The statements of `SELECT (where)`: all their clauses but the list, and the list."""
    ((told,),) = sandbox.execute("SELECT json_serialize_sql($sql)", {"sql": f"SELECT (\n{where}\n)"}).fetchall()
    tree = json.loads(told)
    if tree["error"]:
        raise InputError(tree["error_message"], where=WHERE, mend=MEND)
    nodes = [statement["node"] for statement in tree["statements"]]
    return [({**node, "select_list": None}, node.get("select_list", [])) for node in nodes]


def _same_ids(found: pa.Table, judged: pa.Table) -> bool:
    one, other = (rows.select(["id"]).sort_by("id") for rows in (found, judged))
    return bool(one.equals(other))


def _with_scores(sandbox: duckdb.DuckDBPyConnection, seen: pa.Table, scores: pa.Table) -> pa.Table:
    """A column for each filter. They are numbered in SQL and named behind it: a name is no SQL, whatever it holds."""
    sandbox.register("seen", seen)
    sandbox.register("scored", scores)
    names = [row[0] for row in sandbox.execute("SELECT DISTINCT filter FROM scored ORDER BY filter").fetchall()]
    columns = "".join(f", min(CASE WHEN filter = ${at} THEN score END) AS s{at}" for at in range(1, len(names) + 1))
    pivot = f"SELECT id{columns} FROM scored GROUP BY id"
    both = f"SELECT s.*, p.* EXCLUDE (id) FROM seen s LEFT JOIN ({pivot}) p ON p.id = s.id"
    found = sandbox.sql(both, params=names).to_arrow_table()
    sandbox.unregister("seen")
    sandbox.unregister("scored")
    own = found.column_names[: len(seen.column_names)]
    return found.rename_columns([*own, *(f"{name}_score" if name in own else name for name in names)])
