"""What people bring: written down in `inputs/`, then taken through the stages that read it, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
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
from dmforge.curation.sources.videos import Provenance
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
    deferred: dict[str, int]
    """Why some stay pending."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the lines that were brought: lines = tasks + identical + rejected + pending."""

    tasks: int
    identical: int
    flagged: dict[str, int]
    rejected: dict[str, int]
    pending: int


def ingest(workspace: Workspace, console: Console, command: str, places: Sequence[str], provenance: Provenance) -> Ingested:
    """Videos into the lake."""
    brought = add_videos(workspace, command, places, provenance)
    *_, report = pipeline.run(workspace, console, command, Ingest.name)
    with _current(workspace) as view:
        new = _outcomes(view, Ingest.name, "video", brought.new)
        known = _outcomes(view, Ingest.name, "video", brought.known)
    statuses = Counter(status for status, _ in (new + known).elements())
    pending = len({*brought.new, *brought.known} - forgotten_videos(workspace)) - statuses.total()
    return Ingested(new["made", ""], len(brought.known), statuses["quarantined"], pending, report.deferred)


def import_tasks(workspace: Workspace, console: Console, command: str, form: str, files: Sequence[Path]) -> Imported:
    """Annotation files into the lake."""
    if form not in FORMATS:
        raise InputError(f"there is no format {form!r}", where="import", mend=nearest(form, list(FORMATS)))
    rows = add_annotations(workspace, command, files)
    list(pipeline.run(workspace, console, command, Import.name))  # to its end: no line waits for anything
    with _current(workspace) as view:
        outcomes = _outcomes(view, Import.name, "input", rows)
        tasks = _tasks(view, rows)
    rejected = {reason: number for (status, reason), number in sorted(outcomes.items()) if status != "made"}
    pending = len(set(rows)) - sum(outcomes.values())
    return Imported(tasks, len(rows) - tasks - sum(rejected.values()) - pending, {}, rejected, pending)


def add_videos(workspace: Workspace, command: str, places: Sequence[str], provenance: Provenance) -> videos.Registered:
    """Write videos down; a run ingests them."""
    with workspace.require().held(command):
        return videos.register(workspace, places, provenance)


def add_annotations(workspace: Workspace, command: str, files: Sequence[Path]) -> list[Id]:
    """Take annotation files in; a run imports them. The rows that they hold."""
    with workspace.require().held(command):
        return annotations.add(workspace, files)


def _outcomes(view: View, stage: str, column: Literal["input", "video"], ids: Sequence[Id]) -> Counter[tuple[str, str]]:
    """How often each status and reason stands at a stage for these inputs, or for what is about these videos."""
    sql = f"SELECT status, reason, count(*) FROM outcomes WHERE stage = $stage AND {column} IN $ids GROUP BY ALL"
    found = view.connection.cursor().execute(sql, {"stage": stage, "ids": list(set(ids))}).fetchall()
    return Counter({(status, reason): number for status, reason, number in found})


def _tasks(view: View, rows: Sequence[Id]) -> int:
    """How many tasks came from these rows."""
    sql = "SELECT count(DISTINCT id) FROM tasks WHERE made_from IN $rows"
    return view.connection.cursor().execute(sql, {"rows": list(set(rows))}).fetchall()[0][0]


@contextmanager
def _current(workspace: Workspace) -> Generator[View]:
    """The lake as its recipe sees it now."""
    with workspace.reading():
        yield View(Lake(workspace), pipeline.read_recipe(workspace.recipe).stages)
