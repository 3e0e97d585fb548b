"""What an undisturbed run ends with, and whether a disturbed one has ended with the same."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chaos.everything import stages_of
from chaos.gate import Acknowledged
from chaos.steps import Step, counts
from chaos.subjects import DMFORGE, Subject
from dmforge.commands import run as run_commands
from dmforge.commands import standing
from dmforge.curation.lake.logical_digest import digest_of_all
from dmforge.curation.workspace_folder import WorkspaceFolder

ROSTER = b'"roster"'


@dataclass(frozen=True, slots=True)
class Calm:
    """A subject that nobody disturbed."""

    subject: Subject
    files: dict[str, str]
    """Of lake, media and shards, with their sha256."""
    digest: str
    rows: dict[str, int]
    """By table."""
    commits: dict[str, frozenset[str]]
    """By stage, in the order of the recipe."""
    seconds: dict[str, float]
    """That each stage took."""
    walk_s: float
    """From the beginning of a run that has nothing to do to its end."""
    quarantined: int
    steps: Mapping[str, Mapping[str, int]]
    """By stage, how many calls of each kind changed the disk."""

    @property
    def stages(self) -> list[str]:
        return list(self.commits)

    def under_way(self, workspace: Path) -> str | None:
        """The stage that a workspace has come to: the last that has commits, or the one behind it if these are all."""
        begun = [stage for stage in self.stages if _commits(workspace, stage)]
        if not begun:
            return self.stages[0]
        at = self.stages.index(begun[-1])
        if self.commits[begun[-1]] <= _commits(workspace, begun[-1]):
            at += 1
        return self.stages[at] if at < len(self.stages) else None

    def before_s(self, stage: str) -> float:
        """What a run that goes on takes until it comes to a stage."""
        return self.walk_s * self.stages.index(stage) / len(self.stages)


@dataclass(frozen=True, slots=True)
class Difference:
    """How a workspace has ended, beside the undisturbed one."""

    lost: int
    doubled: int
    same_files: bool
    """Every byte of lake, media and shards."""
    differing: tuple[str, ...]
    """What may not differ and does: the digest, files of media and shards."""


def undisturbed(subject: Subject, workspace: Path) -> Calm:
    """Run a subject to its end, and once more with nothing to do. Each of its stages must have had something to do, but for
    those of which it says otherwise."""
    with subject.serving() as url:
        subject.prepare(workspace, url)
        _ended_well(workspace, subject, url)
        files, began_s = outcome(workspace), time.monotonic()
        records = set(workspace.glob("runs/*.json"))
        process = run(workspace, subject.environment(url))
        while process.poll() is None and not set(workspace.glob("runs/*.json")) - records:
            began_s = time.monotonic()
            time.sleep(0.01)
        code, walk_s = process.wait(), time.monotonic() - began_s
    if code or outcome(workspace) != files:
        sys.exit("a second run changed what the undisturbed one had made")
    subject.check(workspace)
    stages = stages_of((workspace / "recipe.toml").read_text("utf-8"))
    commits = {stage: _commits(workspace, stage) for stage in stages if stage not in subject.idle}
    idle = [stage for stage, names in commits.items() if not names]
    if idle:
        sys.exit(f"nothing was there to do for {', '.join(idle)}: give the subject inputs for it")
    place = WorkspaceFolder(workspace)
    tables = run_commands.digest(place)
    rows = {table.table: table.rows for table in tables}
    return Calm(
        subject, files, digest_of_all(tables), rows, commits, _seconds(min(records)), walk_s, quarantined(place),
        counts(report_of(workspace)),
    )  # fmt: skip


def compared(calm: Calm, workspace: Path) -> Difference:
    """How a workspace that was disturbed has ended."""
    tables, files = run_commands.digest(WorkspaceFolder(workspace)), outcome(workspace)
    rows = {table.table: table.rows for table in tables}
    more = {name: rows.get(name, 0) - calm.rows.get(name, 0) for name in rows.keys() | calm.rows.keys()}
    differing = ["the digest of the lake"] if digest_of_all(tables) != calm.digest else []
    for name in sorted(calm.files.keys() | files.keys()):
        if not name.startswith("lake/") and calm.files.get(name) != files.get(name):
            differing.append(name)
    lost, doubled = (sum(max(0, sign * number) for number in more.values()) for sign in (-1, 1))
    return Difference(lost, doubled, files == calm.files, tuple(differing))


def quarantined(place: WorkspaceFolder) -> int:
    """Inputs that are, at any stage."""
    return sum(tally.quarantined for tally in standing.status(place).values())


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file under a folder, with its sha256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def outcome(workspace: Path) -> dict[str, str]:
    """All that must be the same whatever a kill has done."""
    parts = ("lake", "media", "shards")
    return {f"{part}/{name}": sha256 for part in parts for name, sha256 in fingerprint(workspace / part).items()}


def acknowledged(workspace: Path) -> set[str]:
    """Keys of the answers in the journal."""
    return Acknowledged(workspace).now()


def run(workspace: Path, environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    """A run as a process of its own."""
    env = {**os.environ, **environment}
    return subprocess.Popen(
        [*DMFORGE, "run", "-w", str(workspace), *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env
    )


def run_until(workspace: Path, environment: dict[str, str], steps: Iterable[Step] = ()) -> subprocess.Popen[str]:
    """A run that stands still at the first of some steps, and reports it; or ends, and reports how many there were."""
    report_of(workspace).unlink(missing_ok=True)
    command = [sys.executable, "-m", "chaos.steps", str(report_of(workspace)), *map(str, steps), "--"]
    return subprocess.Popen(
        [*command, "run", "-w", str(workspace)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip


def report_of(workspace: Path) -> Path:
    """Where such a run says what it came to: beside the workspace."""
    return workspace.with_name(f"{workspace.name}.steps.json")


def _ended_well(workspace: Path, subject: Subject, url: str) -> None:
    _, stderr = (process := run_until(workspace, subject.environment(url))).communicate()
    if process.returncode:
        sys.exit(f"the undisturbed run failed: {stderr}")


def _commits(workspace: Path, stage: str) -> frozenset[str]:
    """The files of a stage's commits, but for those that list what is to be done."""
    names: set[str] = set()
    for path in (workspace / "lake/commits" / stage).glob("*.json"):
        with suppress(FileNotFoundError):  # it was superseded while we looked
            names |= {path.name} if _is_batch(path) else set()
    return frozenset(names)


@cache
def _is_batch(path: Path) -> bool:
    return ROSTER not in path.read_bytes()


def _seconds(record: Path) -> dict[str, float]:
    return {stage["name"]: stage["seconds"] for stage in json.loads(record.read_bytes())["stages"]}
