"""SQL that is typed reads the committed parts of its workspace and can do nothing else: no file, no setting, no endless run."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from dmforge.commands import audit
from dmforge.curation.audit import sql_sandbox, sql_sandbox_worker
from dmforge.curation.audit.sql_sandbox import SqlLimits
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import read, show
from tests.audit.conftest import ask
from tests.audit.parts import digest_of, rows

REFUSED = [
    ("SELECT * FROM read_text('/etc/passwd')", "read_text"),
    ("SELECT * FROM '/etc/passwd'", "no table '/etc/passwd'"),
    ("SELECT * FROM tasks WHERE id IN (SELECT content FROM read_blob('/etc/passwd'))", "read_blob"),
    ("SELECT (SELECT count(*) FROM read_csv('/etc/passwd'))", "read_csv"),
    ("SELECT * FROM glob('/etc/*')", "glob"),
    ("FROM read_parquet('lake/tasks/*.parquet')", "read_parquet"),
    ("SELECT * FROM read_json('https://example.com/x.json')", "read_json"),
    ("SELECT * FROM query('SELECT 1')", "query"),
    ("SELECT * FROM duckdb_settings()", "duckdb_settings"),
    ("SELECT * FROM sqlite_master", "no table 'sqlite_master'"),
    ("SELECT getenv('HOME')", "getenv"),
    ("SELECT current_setting('home_directory')", "current_setting"),
    ("COPY tasks TO 'stolen.csv'", "COPY"),
    ("EXPORT DATABASE 'stolen'", "EXPORT"),
    ("ATTACH 'other.db'", "ATTACH"),
    ("INSTALL httpfs", "LOAD"),
    ("LOAD httpfs", "LOAD"),
    ("SET memory_limit = '100GB'", "SET"),
    ("PRAGMA database_list", "PRAGMA"),
    ("CALL pragma_version()", "CALL"),
    ("CREATE MACRO f(x) AS x", "CREATE"),
    ("DROP VIEW tasks", "DROP"),
    ("DELETE FROM tasks", "DELETE"),
    ("WITH gone AS (INSERT INTO stages VALUES (1) RETURNING *) SELECT * FROM gone", "INSERT"),
    ("SELECT 1; COPY tasks TO 'stolen.csv'", "2 statements"),
    ("", "empty"),
    ("-- nothing", "empty"),
    ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "depth"),
]
STOPPED = [
    ("WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n", "stopped after 1 s"),
    ("SELECT levenshtein(repeat('ab', 200000), repeat('ba', 200000))", "stopped after 1 s"),  # deaf to interrupts
    ("SELECT count(*) FROM range(10000000) a, range(10000000) b", "stopped after 1 s"),
    ("SELECT list(x) FROM range(1000000000) t(x)", "MB of memory"),
    ("SELECT length(repeat('x', 3000000000) || repeat('y', 1000000000))", "MB of memory"),  # past DuckDB's own limit
]
PAST_THE_CHECK = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "COPY tasks TO 'HERE.csv'",
    "ATTACH 'HERE.db'",
    "INSTALL httpfs FROM 'HERE'",
    "LOAD httpfs",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "SELECT * FROM read_json('https://example.com/x.json')",
]
"""What does harm in a database that isn't locked, given to one that is."""
Inside = tuple[duckdb.DuckDBPyConnection, frozenset[str]]


@pytest.fixture(scope="module")
def inside(workspace: Path) -> Inside:
    """The database of the other process, in this one, and the tables that may be named."""
    place = WorkspaceFolder(workspace)
    recipe = read_recipe(place.recipe)
    told, tables = sql_sandbox.query_and_tables(LakeView(Lake(place), recipe.stages), "", SqlLimits())
    return sql_sandbox_worker.open_database(told, tables), frozenset(told.views)


@pytest.fixture(scope="module")
def untouched(workspace: Path) -> Any:
    """What lies in lake/ is the same when all of this is over."""
    before = digest_of(workspace / "lake")
    yield
    assert digest_of(workspace / "lake") == before


def told(workspace: Path, sql: str, limits: SqlLimits) -> None:
    with audit.ask_sql(WorkspaceFolder(workspace), sql, limits) as asked:
        asked.batches.read_all()


@pytest.mark.parametrize(("sql", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_is_more_than_a_question_is_refused(sql: str, why: str, inside: Inside) -> None:
    connection, known = inside
    with pytest.raises(sql_sandbox_worker.RefusedSql) as refused:
        sql_sandbox_worker.check(connection, sql, known)
    assert why in refused.value.message


@pytest.mark.parametrize("sql", PAST_THE_CHECK)
def test_what_a_check_might_overlook_the_database_refuses_too(sql: str, inside: Inside, tmp_path: Path) -> None:
    sql = sql.replace("HERE", str(tmp_path / "stolen"))
    with pytest.raises(duckdb.Error, match=r"[Pp]ermission|disabled|locked|not be changed|Cannot change"):
        inside[0].execute(sql).fetchall()
    assert not list(tmp_path.iterdir())


def test_a_refusal_comes_from_the_other_process_as_it_was_meant(workspace: Path, untouched: None) -> None:
    for sql, why in (REFUSED[0], REFUSED[12], REFUSED[14], REFUSED[17]):
        said = ask("audit", "--sql", sql, "-w", workspace, code=2).output
        assert "refused" in said
        assert why in said


@pytest.mark.parametrize(("sql", "why"), STOPPED, ids=["recursion", "deaf", "product", "list", "text"])
def test_what_takes_too_much_is_stopped(sql: str, why: str, workspace: Path, untouched: None) -> None:
    wall_timeout_s = 1.0 if "after" in why else 60.0
    began_s = time.monotonic()
    with pytest.raises(DmforgeError, match=why) as stopped:
        told(workspace, sql, SqlLimits(128, wall_timeout_s))
    assert stopped.value.exit_code == 1
    assert time.monotonic() - began_s < 45


def test_a_question_is_answered_in_each_format(workspace: Path, untouched: None, tmp_path: Path) -> None:
    sql = "SELECT id, task_kind, windows, options FROM tasks ORDER BY id"
    tasks = sorted(rows(workspace, "tasks"), key=lambda row: row["id"])
    printed = json.loads(ask("audit", "--sql", sql, "--json", "-w", workspace).stdout)
    assert printed["columns"] == ["id", "task_kind", "windows", "options"]
    assert printed["rows"] == [[show("task", row["id"]), row["task_kind"], row["windows"], row["options"]] for row in tasks]
    for name in ("rows.json", "rows.csv", "rows.parquet"):
        ask("audit", "--sql", sql, "--out", tmp_path / name, "-w", workspace)
    assert json.loads((tmp_path / "rows.json").read_text()) == printed
    header, *lines = csv.reader(io.StringIO((tmp_path / "rows.csv").read_text()))
    assert header == printed["columns"]
    assert [[line[0], line[1], json.loads(line[2])] for line in lines] == [row[:3] for row in printed["rows"]]
    assert pq.read_table(tmp_path / "rows.parquet").column("id").to_pylist() == [row["id"] for row in tasks]
    table = ask("audit", "--sql", "SELECT count(*) AS n FROM tasks", "-w", workspace).stdout
    assert table.split() == ["n", str(len(tasks))]


@pytest.mark.slow
def test_an_id_that_was_printed_finds_its_row_again(workspace: Path, answer: Callable[..., Any]) -> None:
    columns = "c.id, c.video, c.task, v.id AS verdict, v.subject, o.input, o.variant, c.requests[1] AS ask"
    joined = "candidates c JOIN verdicts v ON v.subject = c.id JOIN outcomes o ON o.input = c.task AND o.stage = 'annotate'"
    row, *_ = answer("--sql", f"SELECT {columns} FROM {joined} ORDER BY ALL LIMIT 1", "-w", workspace)
    kinds = ["candidate", "video", "task", "verdict", "candidate", "task", "variant", "ask"]
    assert [text.partition("_")[0] for text in row.values()] == kinds
    named = zip(columns.replace(" AS verdict", "").replace(" AS ask", "").split(", "), row.values(), strict=True)
    one = " AND ".join(f"{column} = '{text}'" for column, text in named)
    one += f" AND 'é' <> 'it''s {row['id']}' /* '{row['id']}' */"
    found = answer("--sql", f"SELECT 'é', c.id FROM {joined} WHERE {one}", "-w", workspace)
    assert [each["id"] for each in found] == [row["id"]]
    for text in (row["id"].upper(), read(row["id"])[1].hex(), read(row["id"])[1].hex().upper()):
        assert answer("--sql", f"SELECT id FROM candidates WHERE id IN ('{text}')", "-w", workspace) == [{"id": row["id"]}]
    (packed,) = answer("--sql", f"SELECT DISTINCT key FROM packed WHERE video = '{row['video']}'", "-w", workspace)
    assert packed["key"] == row["video"].removeprefix("video_")
    assert answer("--sql", f"SELECT count(*) AS n FROM packed WHERE key = '{packed['key']}'", "-w", workspace)[0]["n"] > 0


def test_every_id_of_an_answer_is_an_id_for_why(workspace: Path, answer: Callable[..., Any]) -> None:
    rows = answer("--sql", "SELECT DISTINCT ON (stage) stage, input FROM outcomes ORDER BY ALL", "-w", workspace)
    assert {row["input"].partition("_")[0] for row in rows} == {"file", "row", "video", "task", "candidate", "sample"}
    for row in rows[:3]:
        assert ask("why", row["input"], "-w", workspace).stdout.startswith(row["input"])


@pytest.mark.slow
def test_an_answer_that_breaks_off_leaves_no_file(workspace: Path, untouched: None, tmp_path: Path) -> None:
    sql = "SELECT CASE WHEN range = 999999 THEN error('broken') ELSE 1 END FROM range(1000000)"
    said = ask("audit", "--sql", sql, "--out", tmp_path / "rows.csv", "-w", workspace, code=2).output
    assert "broken" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_can_be_asked_can_be_seen(workspace: Path, answer: Callable[..., Any]) -> None:
    tables = {row["name"] for row in answer("--sql", "SHOW TABLES", "-w", workspace)}
    assert {"videos", "tasks", "candidates", "verdicts", "samples", "outcomes"} <= tables
    columns = {row["column_name"] for row in answer("--sql", "DESCRIBE verdicts", "-w", workspace)}
    assert {"subject", "filter", "score", "n", "reason"} <= columns
    (found,) = answer("--sql", "SELECT count(*) AS n FROM answers JOIN prices USING (model)", "-w", workspace)
    assert found["n"] > 0
    assert "SHOW TABLES" in ask("audit", "--sql", "SELECT nothing FROM tasks", "-w", workspace, code=2).output


def test_more_rows_than_one_reads_belong_into_a_file(workspace: Path, tmp_path: Path) -> None:
    sql = "SELECT * FROM range(100001)"
    assert "--out" in ask("audit", "--sql", sql, "-w", workspace, code=2).output
    assert "100001 rows" in ask("audit", "--sql", sql, "--out", tmp_path / "rows.parquet", "-w", workspace).output


def test_keys_stay_outside_and_writers_are_not_waited_for(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    place = WorkspaceFolder(workspace)
    seen: list[bytes] = []
    with place.held("a run"), audit.ask_sql(place, "SELECT count(*) FROM tasks", SqlLimits()) as asked:
        for child in Path("/proc/self/task").glob("*/children"):
            for process in child.read_text().split():
                seen.append(Path(f"/proc/{process}/environ").read_bytes())
        assert asked.batches.read_all().num_rows == 1
    assert seen
    assert b"sk-secret" in os.environb[b"OPENAI_API_KEY"]
    assert not any(b"sk-secret" in environment for environment in seen)
