"""A file system without locks is told of, whoever wants one: which folder, and what to do."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dmforge.curation.engine.ranks.rank_locks import RankPresence, claim_share
from dmforge.curation.lake.partition import Share
from dmforge.curation.sources.reviews import Review, append
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import LakeError
from dmforge.schemas.ids import digest

CODES = [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS]


def entered(context: Callable[[WorkspaceFolder], object], workspace: WorkspaceFolder) -> None:
    with context(workspace):  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType, reportAttributeAccessIssue]
        pass


def waited(workspace: WorkspaceFolder) -> None:
    RankPresence(workspace, 0).wait_until(lambda: False)


def reviewed(workspace: WorkspaceFolder) -> None:
    append(workspace, Review(digest("video", 1), digest("task", 1), "task", "me", "keep", "", ""))


WANTED: dict[str, Callable[[WorkspaceFolder], None]] = {
    "a run": partial(entered, lambda workspace: workspace.held("run")),
    "a rank": partial(entered, lambda workspace: claim_share(workspace, Share(0, 2), "run")),
    "a rank at work": partial(entered, lambda workspace: RankPresence(workspace, 0).working()),
    "a rank that waits": waited,
    "who looks": partial(entered, lambda workspace: workspace.reading()),
    "a sweep": partial(entered, lambda workspace: workspace.unread()),
    "a review": reviewed,
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("wanted", WANTED)
def test_a_file_system_without_locks_is_named(wanted: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = WorkspaceFolder(tmp_path)
    workspace.runs.mkdir()
    (workspace.runs / "readers").touch()

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(LakeError, match="the file system gives no locks") as error:
        WANTED[wanted](workspace)
    assert error.value.where in (str(workspace.runs), str(workspace.inputs / "reviews"))
    assert "move the workspace" in error.value.hint


def test_bytes_of_a_file_that_cannot_be_locked_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(LakeError, match="no locks"), claim_share(WorkspaceFolder(tmp_path), Share(0, 2), "run"):
        pass
