"""Defects that are planted on purpose, each a change of product code: a simulation that doesn't find them proves nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from dmforge.commands import run
from dmforge.curation.io import atomic, machine
from dmforge.curation.io.atomic import HashedFile
from dmforge.curation.lake import journal, parts
from dmforge.curation.lake.commits import Commit, CommitDraft, Lake
from dmforge.curation.workspace_folder import WorkspaceFolder

Defect = Callable[[], AbstractContextManager[None]]


@contextmanager
def fsync_left_out() -> Generator[None]:
    """A file is renamed into its place without having been fsynced."""

    @contextmanager
    def writing(path: Path, mode: int = 0o666, suffix: str = "") -> Generator[HashedFile]:
        with atomic._replacing(path, suffix) as temporary_path:  # pyright: ignore[reportPrivateUsage]
            descriptor = machine.current.open(temporary_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            try:
                yield HashedFile(descriptor)
            finally:
                machine.current.close(descriptor)

    with mock.patch.object(atomic, "writing", writing), mock.patch.object(parts, "writing", writing):
        yield


@contextmanager
def rename_before_the_data() -> Generator[None]:
    """A commit file has its name before it has its bytes."""

    @contextmanager
    def writing(path: Path, mode: int = 0o666, suffix: str = "") -> Generator[HashedFile]:
        with atomic.disk_errors(path):
            atomic.make_folder(path.parent)
            temporary_path = path.with_name(path.name + suffix + atomic.TEMPORARY)
            descriptor = machine.current.open(temporary_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            try:
                machine.current.replace(temporary_path, path)
                yield HashedFile(descriptor)
                machine.current.fsync(descriptor)
            finally:
                machine.current.close(descriptor)

    with mock.patch.object(atomic, "writing", writing):
        yield


@contextmanager
def lock_taken_late() -> Generator[None]:
    """A run reads the lake before it holds the workspace."""
    held, snapshots = WorkspaceFolder.held, dict[Path, Lake]()

    @contextmanager
    def held_late(workspace: WorkspaceFolder, command: str) -> Generator[None]:
        snapshots[workspace.root] = Lake(workspace)
        with held(workspace, command):
            yield

    def lake_from_before(workspace: WorkspaceFolder) -> Lake:
        return snapshots.pop(workspace.root, None) or Lake(workspace)

    with mock.patch.object(WorkspaceFolder, "held", held_late), mock.patch.object(run, "Lake", lake_from_before):
        yield


@contextmanager
def line_acknowledged_too_early() -> Generator[None]:
    """An answer is used before its line in the journal is fsynced."""

    def append_lines(descriptor: int, end_offset: int, data: bytes) -> None:
        machine.current.pwrite(descriptor, data, end_offset)

    with mock.patch.object(journal, "append_lines", append_lines):
        yield


@contextmanager
def superseded_commit_removed_too_early() -> Generator[None]:
    """A commit that is replaced is removed before the one that replaces it is there."""
    publish = Lake.publish

    def publish_late(lake: Lake, draft: CommitDraft, chunks_by_table: Mapping[str, Any]) -> Commit:
        chunks = {table: list(tables) for table, tables in chunks_by_table.items()}
        for name in draft.supersedes:
            if name in lake.commits:
                lake.withdraw(lake.commits[name])
        return publish(lake, draft, chunks)

    with mock.patch.object(Lake, "publish", publish_late):
        yield


DEFECTS: dict[str, Defect] = {
    defect.__name__.replace("_", "-"): defect
    for defect in (
        fsync_left_out,
        rename_before_the_data,
        lock_taken_late,
        line_acknowledged_too_early,
        superseded_commit_removed_too_early,
    )
}


def planted(name: str) -> AbstractContextManager[None]:
    """A defect while the block lasts; none where the name is empty."""
    return DEFECTS[name]() if name else nullcontext()
