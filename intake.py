"""What people bring: written down in `inputs/`, then taken through the stages that read it, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from dmforge import pipeline
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.forgotten import forgotten_videos
from dmforge.curation.lake.views import View
from dmforge.curation.sources import annotations, videos
from dmforge.curation.sources.jsonl import Import
from dmforge.curation.sources.videos import Origin
from dmforge.curation.video.ingest import Ingest
from dmforge.curation.workspace import Workspace
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id

FORMATS = ("jsonl",)
"""What `import` reads."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of the files that were brought."""

    ingested: int
    known: int
    quarantined: int
    pending: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the lines that were brought: lines = tasks + identical + rejected + pending."""

    tasks: int
    identical: int
    flagged: dict[str, int]
    rejected: dict[str, int]
    pending: int


def ingest(workspace: Workspace, console: Console, command: str, paths: Sequence[Path], origin: Origin) -> Ingested:
    """Videos into the lake."""
    brought = add_videos(workspace, command, paths, origin)
    _run(workspace, console, command, Ingest.name)
    new = _outcomes(workspace, Ingest.name, "video", brought.new)
    known = _outcomes(workspace, Ingest.name, "video", brought.known)
    statuses = Counter(status for status, _ in (new + known).elements())
    pending = len({*brought.new, *brought.known} - forgotten_videos(workspace)) - statuses.total()
    return Ingested(new["made", ""], len(brought.known), statuses["quarantined"], pending)


def import_tasks(workspace: Workspace, console: Console, command: str, form: str, files: Sequence[Path]) -> Imported:
    """Annotation files into the lake."""
    if form not in FORMATS:
        raise InputError(f"there is no format {form!r}", where="import", mend=nearest(form, list(FORMATS)))
    rows = add_annotations(workspace, command, files)
    _run(workspace, console, command, Import.name)
    outcomes = _outcomes(workspace, Import.name, "input", rows)
    rejected = {reason: number for (status, reason), number in sorted(outcomes.items()) if status != "made"}
    tasks = _tasks(workspace, rows)
    pending = len(set(rows)) - sum(outcomes.values())
    return Imported(tasks, len(rows) - tasks - sum(rejected.values()) - pending, {}, rejected, pending)


def add_videos(workspace: Workspace, command: str, paths: Sequence[Path], origin: Origin) -> videos.Registered:
    """Write videos down; a run ingests them."""
    with workspace.require().held(command):
        return videos.register(workspace, paths, origin)


def add_annotations(workspace: Workspace, command: str, files: Sequence[Path]) -> list[Id]:
    """Take annotation files in; a run imports them. The rows that they hold."""
    with workspace.require().held(command):
        return annotations.add(workspace, files)


def _run(workspace: Workspace, console: Console, command: str, until: str) -> None:
    for report in pipeline.run(workspace, console, command, until):
        for reason, number in report.deferred.items():
            console.print(f"{report.name}: {number} pending: {reason}", markup=False, highlight=False)


def _outcomes(
    workspace: Workspace, stage: str, column: Literal["input", "video"], ids: Sequence[Id]
) -> Counter[tuple[str, str]]:
    """How often each status and reason stands at a stage for these inputs, or for what is about these videos."""
    sql = f"SELECT status, reason, count(*) FROM outcomes WHERE stage = $stage AND {column} IN $ids GROUP BY ALL"
    with workspace.reading():
        found = _view(workspace).connection.cursor().execute(sql, {"stage": stage, "ids": list(set(ids))}).fetchall()
    return Counter({(status, reason): number for status, reason, number in found})


def _tasks(workspace: Workspace, rows: Sequence[Id]) -> int:
    """How many tasks came from these rows."""
    sql = "SELECT count(DISTINCT id) FROM tasks WHERE made_from IN $rows"
    with workspace.reading():
        return _view(workspace).connection.cursor().execute(sql, {"rows": list(set(rows))}).fetchall()[0][0]


def _view(workspace: Workspace) -> View:
    return View(Lake(workspace), pipeline.read_recipe(workspace.recipe).stages)
