"""Separate workspaces become one: what another has listed, rendered, been answered and settled is taken over.

Ours stands where both have something to say. Nothing is decided here: what needs all of a table is done anew by the next run.
A kill in the middle harms nothing: each step is whole or not there, and merging again does what is left.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dmforge.curation.atomic import TEMPORARY, disk_errors, placing, sync_folder
from dmforge.curation.lake import forgetting
from dmforge.curation.lake.commits import Commit, Draft, Lake, write_commit
from dmforge.curation.lake.forgotten import forgotten_videos
from dmforge.curation.lake.journal import take_over_answers
from dmforge.curation.lake.parts import id_column, read_part
from dmforge.curation.settled import MADE_FROM
from dmforge.curation.sources.annotations import take_over_files
from dmforge.curation.sources.videos import take_over_list
from dmforge.curation.workspace import Workspace
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, base32, digest, read
from dmforge.schemas.records import Outcome

OWN = ("roster", "collective")
"""Commits that speak of a whole workspace: they say nothing about two."""


@dataclass(frozen=True, slots=True)
class Added:
    """What came in, counted."""

    videos: int = 0
    annotations: int = 0
    """Files of them."""
    media: int = 0
    answers: int = 0
    outcomes: int = 0
    rows: int = 0

    def __add__(self, other: Added) -> Added:
        return Added(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def merge(lake: Lake, other: Workspace) -> Added:
    """Take over what another workspace has. It is only read."""
    ours = lake.workspace
    if os.path.samefile(ours.root, other.root):
        raise InputError("a workspace can't be merged with itself", where=str(other.root), mend="name another one")
    with other.reading():
        _refuse_links(other.root)
        theirs = Lake(other)
        _refuse_other_renditions(ours, other)
        _take_over_takedowns(ours, other)
        hidden = forgotten_videos(ours)
        # first what rows stand on, then the rows
        media = _take_over_media(ours, other, hidden)
        answers = take_over_answers(ours, other, hidden)
        _copy_missing(ours.runs, other.runs, "*.json")
        outcomes, rows = _take_over_commits(lake, theirs)
        videos, files = take_over_list(ours, other), take_over_files(ours, other)
    if hidden:
        forgetting.forget(lake)
    lake.sweep()
    return Added(videos, files, media, answers, outcomes, rows)


def _refuse_links(root: Path) -> None:
    """Of a workspace that came from elsewhere nothing is copied that lies outside it, and no device or pipe is read."""
    whole = root.resolve()
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            leads_out = path.is_symlink() and not path.resolve().is_relative_to(whole)
            if leads_out or not (path.is_file() or path.is_dir() or path.is_symlink()):
                mend = "copy it with what its links lead to: cp -rL"
                raise InputError("it is no plain file of this workspace", where=str(path), mend=mend)


def _refuse_other_renditions(ours: Workspace, other: Workspace) -> None:
    """Before anything is changed: what was made from a video must be the same here and there."""
    for theirs in (other.media / "clips.json", *sorted(other.media.glob("*/*.json"))):
        here = ours.media / theirs.relative_to(other.media)
        if theirs.exists() and here.exists() and json.loads(theirs.read_bytes()) != json.loads(here.read_bytes()):
            mend = "build both with the same [clips] and the same versions, as the records in runs/ tell them"
            raise InputError("the renditions of the two workspaces differ", where=str(theirs), mend=mend)


def _take_over_takedowns(ours: Workspace, other: Workspace) -> None:
    if not other.forgotten.exists():
        return
    forgotten_videos(other)  # each line is checked
    by_reason: defaultdict[str, list[Id]] = defaultdict(list)
    for line in other.forgotten.read_bytes().split(b"\n"):
        if line.strip():
            told = json.loads(line)
            by_reason[str(told.get("reason", ""))].append(read(told["video"])[1])
    for reason, videos in by_reason.items():
        forgetting.write_takedown(ours, videos, reason)


def _take_over_media(ours: Workspace, other: Workspace, hidden: frozenset[Id]) -> int:
    gone = {base32(video) for video in hidden}
    copied = _copy_missing(ours.media, other.media, "clips.json")
    # in reverse: a receipt comes after what it vouches for
    for path in sorted(other.media.glob("*/*"), key=lambda path: path.suffix == ".json"):
        if path.name.partition(".")[0] not in gone:
            copied += _copy(path, ours.media / path.relative_to(other.media))
    return copied


def _copy_missing(here: Path, there: Path, pattern: str) -> int:
    return sum(_copy(path, here / path.name) for path in sorted(there.glob(pattern)))


def _copy(source: Path, target: Path) -> int:
    """Copy a file that isn't there; how many that were."""
    if target.exists() or source.name.endswith(TEMPORARY):
        return 0
    with placing(target) as beside, disk_errors(source):
        shutil.copyfile(source, beside)
    sync_folder(target.parent)
    return 1


def _take_over_commits(lake: Lake, theirs: Lake) -> tuple[int, int]:
    """Every batch whose inputs are not settled here; how many outcomes came in, and how many rows."""
    outcomes = rows = 0
    settled: dict[tuple[str, str], set[Id]] = {}
    for commit in sorted(theirs.commits.values(), key=lambda commit: commit.id):
        if commit.kind in OWN:
            continue
        key = (commit.stage, commit.variant)
        if key not in settled:
            settled[key] = {one for c in list(lake.commits.values()) if (c.stage, c.variant) == key for one in _inputs(lake, c)}
        inputs = set(_inputs(theirs, commit))
        fresh = inputs - settled[key]
        if fresh:
            taken = _take_over(lake, theirs, commit) if fresh == inputs else _publish_some(lake, theirs, commit, fresh)
            outcomes += taken.inputs
            rows += sum(part.rows for part in taken.parts if part.table != Outcome.table)
            settled[key] |= fresh
    return outcomes, rows


def _inputs(lake: Lake, commit: Commit) -> Iterator[Id]:
    for part in commit.of(Outcome.table):
        for table in read_part(lake.workspace.lake, part):
            yield from id_list(table.column(id_column(Outcome.table)))


def _take_over(lake: Lake, theirs: Lake, commit: Commit) -> Commit:
    """A commit as it is, byte for byte."""
    for part in commit.parts:
        part.check_bytes(theirs.workspace.lake)
        _copy(part.path(theirs.workspace.lake), part.path(lake.workspace.lake))
        part.check_bytes(lake.workspace.lake)
    taken = replace(commit, supersedes=())
    write_commit(lake.workspace.commits, taken)
    lake.commits[taken.id] = taken
    return taken


def _publish_some(lake: Lake, theirs: Lake, commit: Commit, fresh: set[Id]) -> Commit:
    """Of a commit what is about some of its inputs."""
    wanted = pa.array(sorted(fresh), pa.binary(ID_BYTES))

    def kept(table: str) -> Iterator[pa.Table]:
        column = id_column(table) if table == Outcome.table else MADE_FROM
        for part in commit.of(table):
            for piece in read_part(theirs.workspace.lake, part):
                yield piece.filter(pc.is_in(piece.column(column), wanted))

    variant = read(f"variant_{commit.variant}")[1]
    name = digest("merged", [commit.id, *sorted(fresh)])
    draft = Draft("batch", commit.stage, variant, name, commit.config)
    return lake.publish(draft, {part.table: kept(part.table) for part in commit.parts})
