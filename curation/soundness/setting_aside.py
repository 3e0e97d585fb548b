"""Moves damaged files out of the way, into `set-aside/`: nothing that can't be had again is deleted by a repair."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors, make_folder, sync_folder, write_bytes, writing
from dmforge.curation.lake.journal import PRIVATE
from dmforge.curation.workspace_folder import WorkspaceFolder

TORN_LINE = 0
"""The number of the torn line at the end of a file."""
LOST = "lost_answers.txt"
"""The requests whose answers the journal has lost, as a repair found out: nobody is told of them again."""


def set_aside(workspace: WorkspaceFolder, path: Path) -> Path:
    """Move a file or a folder into `set-aside/`, under the path that it had; where it is now."""
    target = _free(workspace.set_aside / path.relative_to(workspace.root))
    with disk_errors(path):
        make_folder(target.parent)
        machine.current.replace(path, target)
        sync_folder(target.parent)
        sync_folder(path.parent)
    return target


def set_lines_aside(workspace: WorkspaceFolder, journal_path: Path, numbers: Collection[int]) -> None:
    """Move lines of a journal into a file of their own."""
    target = _free(workspace.set_aside / journal_path.relative_to(workspace.root))
    with disk_errors(journal_path):
        with journal_path.open("rb") as journal_file:
            lines = list(journal_file)
        is_removed = [
            number in numbers or (TORN_LINE in numbers and not line.endswith(b"\n")) for number, line in enumerate(lines, 1)
        ]
    removed = b"".join(line for line, goes in zip(lines, is_removed, strict=True) if goes)
    write_bytes(target, removed, PRIVATE)
    with writing(journal_path, PRIVATE) as rewritten_file:
        for line, goes in zip(lines, is_removed, strict=True):
            if not goes:
                rewritten_file.write(line)
    sync_folder(journal_path.parent)


def lost_requests(workspace: WorkspaceFolder) -> frozenset[str]:
    """The requests whose answers are known to be lost."""
    lost_path = workspace.set_aside / LOST
    return frozenset(lost_path.read_text("ascii", "replace").split()) if lost_path.is_file() else frozenset()


def note_lost(workspace: WorkspaceFolder, requests: Iterable[str]) -> None:
    """Write down answers that are lost."""
    lines = sorted(lost_requests(workspace) | set(requests))
    write_bytes(workspace.set_aside / LOST, "".join(f"{request}\n" for request in lines).encode("ascii"))


def _free(path: Path) -> Path:
    """The path, or with a number behind it where that is taken."""
    number, target = 1, path
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{number}")
    return target
