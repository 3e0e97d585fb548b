"""What is wrong in a workspace: the place, since when, and how it can be had again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.curation.lake.commits import Commit
from dmforge.schemas.ids import Id

RUN = "`dmforge run` makes it again; what was paid for comes from the journal"


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair takes out of the way, so that a run makes it again."""

    set_aside: tuple[Path, ...] = ()
    """Files and folders that are moved away."""
    lines: tuple[tuple[Path, int], ...] = ()
    """Lines of the journal, by their numbers, that are moved away; line 0 is the torn one at the end."""
    video: Id | None = None
    """A video whose renditions are copied out of sound shards, or rendered again from the file that was brought."""
    requests: tuple[str, ...] = ()
    """Answers that are known to be lost from then on."""
    stages: tuple[str, ...] = ()
    """The stages that make it again."""


@dataclass(frozen=True, slots=True)
class WorkspaceDefect:
    """A place in a workspace that is not as it was written."""

    file: str
    """The file or folder, from the workspace on."""
    reason: str
    remedy: str
    """How it can be had again."""
    since: str = ""
    """By what it was sound, and when that was written."""
    key: str = ""
    """What it is about: a video, a request, the key of a sample."""
    offset: int = 0
    repair: Repair | None = field(default=None, compare=False)
    """None where nothing but a person can help."""

    def as_json(self) -> dict[str, Any]:
        names = ("file", "key", "offset", "reason", "since", "remedy")
        return {name: getattr(self, name) for name in names} | {"repairable": self.repair is not None}

    def __str__(self) -> str:
        since = f", since {self.since}" if self.since else ""
        return f"{self.file}: {self.key or '-'} at {self.offset}: {self.reason}{since}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class WorkspaceReport(CommandResult):
    """What was checked in a workspace, what is wrong, and what was repaired."""

    files: int
    """Files that were hashed or read whole."""
    bytes: int
    seconds: float
    defects: tuple[WorkspaceDefect, ...]
    notes: tuple[str, ...] = ()
    """What is no defect, and worth knowing."""
    repaired: tuple[WorkspaceDefect, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.defects

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok, "files": self.files, "bytes": self.bytes, "seconds": round(self.seconds, 3),
            "defects": [defect.as_json() for defect in self.defects], "notes": list(self.notes),
            "repaired": [defect.as_json() for defect in self.repaired],
        }  # fmt: skip

    def blocks(self) -> Iterator[Block]:
        yield from (f"repaired: {defect}" for defect in self.repaired)
        yield from map(str, self.defects)
        yield from self.notes
        if self.defects:
            repairable = sum(defect.repair is not None for defect in self.defects)
            defects_text = "1 defect" if len(self.defects) == 1 else f"{len(self.defects)} defects"
            yield f"{defects_text}, of which --repair can help with {repairable}"
        else:
            yield f"sound: {self.files} files, {self.bytes} bytes"


def written_with(receipt_path: Path, root: Path) -> str:
    """A receipt with the time that it was written: by it something was sound then."""
    if not receipt_path.exists():
        return ""
    written = time.strftime("%Y-%m-%d %H:%M", time.gmtime(receipt_path.stat().st_mtime))
    return f"{receipt_path.relative_to(root)} of {written} UTC"


def without_commit(commit: Commit, commits_folder: Path, *damaged: Path) -> Repair:
    """The repair of a damaged part: its commit goes with it, and a run does the batch again."""
    paths = [path for path in (*damaged, commit.path(commits_folder)) if path.exists()]
    return Repair(tuple(paths), stages=(commit.stage,))


def remade_by(commit: Commit) -> str:
    """How the rows of a commit are made again."""
    if commit.kind == "evaluation":
        return "`dmforge evaluate` makes it again: an evaluation is no stage of a recipe"
    return RUN


def first_of_each(defects: Sequence[WorkspaceDefect]) -> list[WorkspaceDefect]:
    """Defects without those that say the same of the same place."""
    return list(dict.fromkeys(defects))
