"""A condition that a person types, asked of candidates and their scores where it can do no harm.

It is SQL, so it gets a database of its own: in memory, with copies of what it may see, without files, network, extensions or
settings, and dropped afterwards. It is held to be one expression, and whatever it is, there is nothing there to be changed.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import pyarrow as pa

from dmforge.curation.lake.views import interruptible
from dmforge.schemas.errors import InputError

WHERE = "--where"
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
FROM (SELECT id, unnest([id, task, video]) AS subject FROM standing) c JOIN verdicts v ON v.subject = c.subject
GROUP BY ALL
"""


def asking(where: str) -> Callable[[duckdb.DuckDBPyConnection], pa.Table]:
    """What `decide` asks: of every candidate, whether a condition holds."""

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
                statements = sandbox.extract_statements(condition)
                if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                    raise InputError("more than a condition", where=WHERE, mend="give one condition, as in: answer >= 0.95")
                return sandbox.sql(condition).to_arrow_table()
            except duckdb.Error as error:
                told, known = str(error).splitlines()[0], ", ".join(judged.column_names[1:])
                raise InputError(told, where=WHERE, mend=f"give a condition over these columns: {known}") from None


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
