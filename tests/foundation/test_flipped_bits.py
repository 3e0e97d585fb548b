"""What is read has been checked: a bit that was flipped in a part goes into nothing that is published, and is told of."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge.cli import app
from dmforge.curation.io import known_checksums
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.recall import Recall
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import LakeError
from dmforge.schemas.records import Task
from tests.foundation.lakes import fingerprint, run, view, write_recipe


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A whole run, and nothing hashed yet, as where a command starts."""
    write_recipe(tmp_path, tasks=40)
    run(tmp_path)
    known_checksums._sha256_by_version.clear()
    return tmp_path


def flip(root: Path, table: str, at: int | None = None) -> Path:
    """One bit, of the same length; with the time that the file had, as a disk would flip it."""
    path = sorted((root / "lake" / table).glob("*.parquet"))[0]
    before, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 3 if at is None else at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return path


def refused(root: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "-w", str(root)])
    assert done.exit_code == 1, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.stderr


@pytest.mark.parametrize(("table", "threshold", "salt"), [("tasks", 0.9, ""), ("verdicts", 0.9, ""), ("tasks", 0.5, "new")])
def test_a_flipped_bit_stops_a_run_before_anything_follows_from_it(lake: Path, table: str, threshold: float, salt: str) -> None:
    damaged = flip(lake, table)
    write_recipe(lake, tasks=40, threshold=threshold, salt=salt)
    before = fingerprint(lake)
    error = refused(lake, "run")
    assert f"{damaged}: the part was changed" in error.replace("\n", "")
    assert "restore the file" in error
    assert fingerprint(lake) == before


@pytest.mark.parametrize(
    ("words", "table"),
    [
        (["audit", "funnel"], "outcomes"),
        (["audit", "difficulty"], "verdicts"),
        (["audit", "--sql", "SELECT count(*) FROM Tasks"], "tasks"),
        (["audit", "--sql", "SELECT '--', count(*) FROM tasks"], "tasks"),
        (["audit", "difference", "--with", "."], "samples"),
        (["digest"], "verdicts"),
    ],
)
def test_an_audit_says_that_a_part_was_changed(
    lake: Path, words: list[str], table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lake)
    assert str(flip(lake, table)) in refused(lake, *words).replace("\n", "")


def test_a_footer_that_was_changed_is_named_too(lake: Path) -> None:
    damaged = flip(lake, "samples", -6)
    assert str(damaged) in refused(lake, "audit", "funnel").replace("\n", "")


def test_a_part_that_a_question_does_not_name_is_not_hashed(lake: Path) -> None:
    flip(lake, "verdicts")
    done = CliRunner().invoke(app, ["audit", "--sql", "SELECT count(*) FROM tasks", "-w", str(lake)])
    assert done.exit_code == 0, done.output


def test_a_part_is_hashed_once_as_long_as_its_file_stays_the_same(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counted(file: object, name: str) -> object:
        hashed.append(str(getattr(file, "name", "")))
        return digest(file, name)  # pyright: ignore[reportArgumentType, reportCallIssue]

    monkeypatch.setattr(known_checksums.hashlib, "file_digest", counted)
    write_recipe(lake, tasks=40, salt="new")
    run(lake)
    view(lake).connection.execute("SELECT count(*) FROM tasks")
    assert hashed
    assert len(hashed) == len(set(hashed))


def test_rows_of_older_recipes_are_not_recalled_from_a_part_that_was_changed(lake: Path) -> None:
    damaged = flip(lake, "tasks")
    with pytest.raises(LakeError, match="the part was changed") as error:
        Recall(Lake(WorkspaceFolder(lake)), Task)
    assert error.value.where == str(damaged)
