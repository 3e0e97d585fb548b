"""Folders that came from elsewhere: their links and pipes lead nowhere, and answers are their owner's alone to read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands import run
from dmforge.curation.io.atomic import writing
from dmforge.curation.lake.journal import Journal
from dmforge.curation.shards.integrity import verify
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import LakeError
from tests.support.corpora import corpus


def refused(*words: object) -> str:
    done = CliRunner().invoke(cli.app, list(map(str, words)))
    assert done.exit_code == 2, done.output
    return done.output.replace("\n", "")


@pytest.mark.parametrize(
    "where", ["media/ab/x.mp4", "runs/x.json", "journal/m/main.jsonl", "inputs/annotations/x.jsonl", "media/cd"]
)
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_merge_takes_nothing_from_outside(where: str, kind: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("private\n")
    for name in ("ours", "theirs"):
        run.init(tmp_path / name, "demo")
    path = tmp_path / "theirs" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(secret) if kind == "link" else os.mkfifo(path)
    assert "no plain file of this workspace" in refused("merge", tmp_path / "theirs", "-w", tmp_path / "ours")
    assert not any("private" in path.read_text() for path in (tmp_path / "ours").rglob("*") if path.is_file())


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "file.json.writing").symlink_to(other)
    with pytest.raises(LakeError), writing(tmp_path / "file.json") as file:
        file.write(b"theirs")
    assert other.read_text() == "mine"


def test_a_link_that_stands_in_the_place_of_a_file_is_replaced(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "file.json").symlink_to(other)
    with writing(tmp_path / "file.json") as file:
        file.write(b"theirs")
    assert (other.read_text(), (tmp_path / "file.json").read_text()) == ("mine", "theirs")


def test_nobody_waits_at_a_pipe(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "packed", 2, 1, (100, 100))
    shard = next(folder.glob("*.tar"))
    shard.unlink()
    os.mkfifo(shard)
    assert [defect.shard for defect in verify(str(folder)).defects] == [shard.name]
    refused("lint", folder)
    refused("lint", shard)


def test_a_journal_is_its_owners_alone(tmp_path: Path) -> None:
    workspace = WorkspaceFolder(tmp_path)
    path = workspace.journal / "m" / "main.jsonl"
    path.parent.mkdir(parents=True)
    path.touch(0o644)  # copied from somewhere
    before = os.umask(0)
    try:
        for writer in ("main", "other"):
            Journal(workspace, "m", writer).close()
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
