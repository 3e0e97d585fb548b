"""The condition of `--where`, evaluated on candidates and their scores in a sandbox.

It is SQL, so it runs in the sandbox of all typed SQL, over one table that holds what it may see. It is parsed alone first, and
must be one expression.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa

from dmforge.curation.audit import sql_sandbox, sql_sandbox_worker
from dmforge.curation.lake.database import interruptible
from dmforge.filters.selection.selection import CONDITION_SCHEMA
from dmforge.schemas.errors import InputError
from dmforge.schemas.visible import storable

WHERE = "--where"
LIMITS = sql_sandbox.SqlLimits()
HINT = "give one condition, as in: answer >= 0.95"
TABLE = "judged"
"""The table of the condition: a row for each candidate, with its own columns and one for each filter."""
OPTION = sql_sandbox.SqlOption(WHERE, "ask for less")
CANDIDATE_COLUMNS_SQL = """
SELECT c.id, t.task_kind AS kind, t.source, t.licence, t.terms, t.split, t.question, t.answer AS gold, c.answer AS answered,
    v.source AS video_source, v.licence AS video_licence, v.terms AS video_terms,
    c.attempt, c.teacher, c.window_source, v.duration_cs / 100.0 AS duration_s,
    (c.looks[1].window.end_cs - c.looks[1].window.start_cs) / 100.0 AS looked_s,
    c.looks[1].fps.num / c.looks[1].fps.den AS density_fps
FROM standing s JOIN candidates c ON c.id = s.id JOIN tasks t ON t.id = c.task LEFT JOIN videos v ON v.id = c.video
ORDER BY c.id
"""
SCORES_SQL = """
SELECT c.id, v.filter, min(v.score) AS score
FROM (SELECT id, video, unnest([id, task, video]) AS subject FROM standing) c
    JOIN verdicts v ON v.subject = c.subject AND v.video = c.video
GROUP BY ALL
"""


def compile_condition(where: str, limits: sql_sandbox.SqlLimits = LIMITS) -> Callable[[duckdb.DuckDBPyConnection], pa.Table]:
    """The condition of a `Selection`: whether `where` holds, for every candidate."""

    def holds(connection: duckdb.DuckDBPyConnection) -> pa.Table:
        _require_one_expression(connection, where)
        with interruptible():
            candidates = _candidate_table(connection)
        return _evaluate(where, candidates, limits)

    return holds


def _evaluate(where: str, candidate_table: pa.Table, limits: sql_sandbox.SqlLimits) -> pa.Table:
    condition_sql = f"SELECT id, CAST((\n{where}\n) AS BOOLEAN) AS holds FROM {TABLE}"
    sandbox_request = sql_sandbox_worker.SandboxRequest(condition_sql, {}, {}, (), (), (TABLE,), limits.memory_mb)
    try:
        with sql_sandbox.sandboxed(sandbox_request, {TABLE: candidate_table}, limits.wall_timeout_s, OPTION) as batch_reader:
            answer_table = _one_answer_each(batch_reader, candidate_table)
    except InputError as error:
        hint = f"give a condition over these columns: {', '.join(candidate_table.column_names[1:])}"
        raise InputError(error.message, where=WHERE, hint=hint) from None
    return answer_table


def _one_answer_each(batch_reader: pa.RecordBatchReader, candidate_table: pa.Table) -> pa.Table:
    """The answers, one for each candidate. An expression may give more: columns, by `COLUMNS(*)`, or more rows, by `unnest`."""
    batches_read: list[pa.RecordBatch] = []
    row_count = 0
    for answer_batch in batch_reader if len(batch_reader.schema) == len(CONDITION_SCHEMA) else ():
        batches_read.append(answer_batch)
        row_count += answer_batch.num_rows
        if row_count > candidate_table.num_rows:
            break
    answer_table = pa.Table.from_batches(batches_read, batch_reader.schema)
    if len(answer_table.schema) != len(CONDITION_SCHEMA) or not _same_ids(answer_table, candidate_table):
        raise InputError("not one answer for each candidate", where=WHERE, hint=HINT)
    return answer_table


def _require_one_expression(connection: duckdb.DuckDBPyConnection, where: str) -> None:
    """Refuse what DuckDB's own parser finds to be more than one expression, such as text that closes our parenthesis."""
    if storable(where) != where:
        raise InputError("the condition is not valid UTF-8", where=WHERE, hint=HINT)
    (plain_clauses, _), *_ = _parse_select(connection, "true")
    parsed_selects = _parse_select(connection, where)
    if len(parsed_selects) != 1 or parsed_selects[0][0] != plain_clauses or len(parsed_selects[0][1]) != 1:
        raise InputError("more than a condition", where=WHERE, hint=HINT)
    (condition_node,) = parsed_selects[0][1]
    # `()` is a row of nothing: the text is empty, or a comment
    if condition_node.get("function_name") == "row" and not condition_node["arguments"]:
        raise InputError("the condition is empty", where=WHERE, hint=HINT)


def _parse_select(connection: duckdb.DuckDBPyConnection, where: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The parsed statements of `SELECT (where)`: for each, all clauses but the select list, and the select list."""
    try:
        select_nodes = sql_sandbox_worker.parsed_statements(connection, f"SELECT (\n{where}\n)")
    except sql_sandbox_worker.RefusedSql as refusal:
        raise InputError(refusal.message, where=WHERE, hint=HINT) from None
    return [({**select_node, "select_list": None}, select_node.get("select_list", [])) for select_node in select_nodes]


def _same_ids(answer_table: pa.Table, candidate_table: pa.Table) -> bool:
    answer_ids, candidate_ids = (
        answers_or_candidates.select(["id"]).sort_by("id") for answers_or_candidates in (answer_table, candidate_table)
    )
    return bool(answer_ids.equals(candidate_ids))


def _candidate_table(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The table of candidates with a column for each filter; names are put in after the SQL, so that they can't become SQL."""
    candidate_columns, scores = (
        connection.sql(CANDIDATE_COLUMNS_SQL).to_arrow_table(),
        connection.sql(SCORES_SQL).to_arrow_table(),
    )
    connection.register("seen", candidate_columns)
    connection.register("scored", scores)
    filter_names = [
        filter_row[0] for filter_row in connection.execute("SELECT DISTINCT filter FROM scored ORDER BY filter").fetchall()
    ]
    score_columns = "".join(
        f", min(CASE WHEN filter = ${filter_index} THEN score END) AS s{filter_index}"
        for filter_index in range(1, len(filter_names) + 1)
    )
    pivot_sql = f"SELECT id{score_columns} FROM scored GROUP BY id"
    joined_sql = f"SELECT s.*, p.* EXCLUDE (id) FROM seen s LEFT JOIN ({pivot_sql}) p ON p.id = s.id"
    candidate_table = connection.sql(joined_sql, params=filter_names).to_arrow_table()
    connection.unregister("seen")
    connection.unregister("scored")
    candidate_column_names = candidate_table.column_names[: len(candidate_columns.column_names)]
    return candidate_table.rename_columns(
        [
            *candidate_column_names,
            *(f"{filter_name}_score" if filter_name in candidate_column_names else filter_name for filter_name in filter_names),
        ]
    )
