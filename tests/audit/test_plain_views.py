"""DuckDB alone, which knows nothing of dmforge, opens the views of a workspace and answers what audits answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.audit.query import compares, is_worked_out, names
from dmforge.schemas.ids import show
from dmforge.schemas.looks import print_density
from tests.audit.conftest import ask
from tests.audit.parts import digest_of, rows

CLIENT = """
import duckdb, json, sys
place, *questions = sys.argv[1:]
if place.endswith(".sql"):
    client = duckdb.connect()
    client.execute(open(place, encoding="utf-8").read())
else:
    client = duckdb.connect(place, read_only=True)
for question in questions:
    answer = client.sql(question)
    print(json.dumps([dict(zip(answer.columns, row)) for row in answer.fetchall()]))
"""
"""A program with DuckDB and nothing else."""
QUESTIONS = [name for name in names() if not compares(name) and not is_worked_out(name)]


def asked(place: Path, *questions: str) -> list[list[dict[str, Any]]]:
    done = subprocess.run([sys.executable, "-I", "-c", CLIENT, place, *questions], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def places(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, before = tmp_path_factory.mktemp("views of 'it'"), digest_of(workspace)
    script, database = folder / "views.sql", folder / "lake.duckdb"
    told = json.loads(ask("views", script, "-w", workspace, "--json").stdout)
    assert told == json.loads(ask("views", "--duckdb", database, "-w", workspace, "--json").stdout) | {"file": str(script)}
    assert told["views"] > 2 * len(QUESTIONS)
    assert digest_of(workspace) == before
    return [script, database]


def test_every_named_question_has_the_same_answer_there(
    workspace: Path, places: list[Path], answer: Callable[..., list[dict[str, Any]]]
) -> None:
    wanted = [answer(name, "-w", workspace) for name in QUESTIONS]
    assert any(len(rows) > 3 for rows in wanted)
    for place in places:
        for name, rows_there, rows_here in zip(
            QUESTIONS, asked(place, *(f"FROM audit.{name}" for name in QUESTIONS)), wanted, strict=True
        ):
            assert sorted(map(str, rows_there)) == sorted(map(str, rows_here)), name


def test_ids_seconds_and_densities_are_as_people_read_them(workspace: Path, places: list[Path]) -> None:
    candidates = {show("candidate", row["id"]): row for row in rows(workspace, "candidates")}
    videos = {show("video", row["id"]): row for row in rows(workspace, "videos")}
    for place in places:
        there, films, samples = asked(place, "FROM current.candidates", "FROM current.videos", "FROM current.samples")
        assert {row["id"] for row in there} == candidates.keys()
        for row in there:
            here = candidates[row["id"]]
            assert row["task"] == row["made_from"] == show("task", here["task"])
            assert row["requests"] == [show("ask", request) for request in here["requests"]]
            assert [look["window"] for look in row["looks"]] == [
                {"start_s": look["window"]["start_cs"] / 100, "end_s": look["window"]["end_cs"] / 100} for look in here["looks"]
            ]
            assert [look["fps"] for look in row["looks"]] == [
                print_density(Fraction(*look["fps"].values())) for look in here["looks"]
            ]
            assert [piece["text"] for piece in row["transcript"]["pieces"]] == [
                piece["text"] for piece in here["transcript"]["pieces"]
            ]
        assert {film["id"]: film["duration_s"] for film in films} == {
            video: row["duration_cs"] / 100 for video, row in videos.items()
        }
        assert {sample["candidate"] for sample in samples} <= candidates.keys() | {None}
        (of_stages,) = asked(place, "SELECT DISTINCT stage, regexp_extract(input, '^[a-z]+') AS kind FROM current.outcomes")
        assert {"stage": "annotate", "kind": "task"} in of_stages
        assert all(row["kind"] != "id" for row in of_stages)


def test_every_table_and_column_says_what_it_means(places: list[Path]) -> None:
    for place in places:
        columns, views = asked(
            place,
            "SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() "
            "WHERE schema_name IN ('main', 'current') AND NOT internal",
            "SELECT schema_name, view_name, comment FROM duckdb_views() WHERE schema_name IN ('current', 'audit')",
        )
        by_name = {(row["schema_name"], row["table_name"], row["column_name"]): row["comment"] for row in columns}
        assert by_name["main", "videos", "duration_cs"].endswith("(hundredths of a second)")
        assert by_name["current", "videos", "duration_s"].endswith("(seconds)")
        # views of words that questions share say in one sentence what they are: docs/audit.md
        tables = {table for schema, table, _ in by_name if schema == "current"}
        assert {"tasks", "outcomes", "answers", "evaluations", "column_meanings"} <= tables
        assert [name for name, comment in by_name.items() if name[1] in tables and not comment] == []
        assert [row for row in views if not row["comment"]] == []


@pytest.mark.parametrize("density", ["2", "1/3", "0.5", "30000/1001", "0.125", "10"])
def test_a_density_is_printed_as_everywhere(density: str, places: list[Path]) -> None:
    fraction = Fraction(density)
    ((row,),) = asked(places[1], f"SELECT printed_fraction({fraction.numerator}, {fraction.denominator}) AS text")
    assert row["text"] == print_density(fraction) == density


def test_a_script_may_be_run_again_and_a_database_is_written_anew(workspace: Path, places: list[Path], tmp_path: Path) -> None:
    twice = tmp_path / "twice.sql"
    twice.write_text(places[0].read_text() * 2)
    assert asked(twice, "SELECT count(*) AS n FROM current.tasks") == asked(
        places[0], "SELECT count(*) AS n FROM current.tasks"
    )
    ask("views", "--duckdb", places[1], "-w", workspace)


def test_what_cannot_be_written_is_refused(workspace: Path, tmp_path: Path) -> None:
    assert "one of them" in ask("views", "-w", workspace, code=2).output
    assert "one of them" in ask("views", tmp_path / "a.sql", "--duckdb", tmp_path / "b", "-w", workspace, code=2).output
    assert "ends in .sql" in ask("views", tmp_path / "views", "-w", workspace, code=2).output
    assert "belongs to a workspace" in ask("views", workspace / "lake" / "a.sql", "-w", workspace, code=2).output
    assert "belongs to a workspace" in ask("views", "--duckdb", workspace / "lake" / "a", "-w", workspace, code=2).output
    assert not list(tmp_path.iterdir())
