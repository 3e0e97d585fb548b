"""Merges workspaces: lists, renditions, paid answers and settled work of one are copied into another.

Where both have an entry, the target's stays. Nothing is decided here: stages that need all of a table run anew in the next run.
A kill in the middle harms nothing: each step is atomic, and merging again does the remaining ones.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dmforge.curation.contract.stage_results import MADE_FROM
from dmforge.curation.io.atomic import TEMPORARY, disk_errors, placing, sync_folder
from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.lake.commits import Commit, CommitDraft, Lake, write_commit
from dmforge.curation.lake.journal import take_over_answers
from dmforge.curation.lake.parts import id_column, read_part
from dmforge.curation.lifecycle import takedown
from dmforge.curation.sources.annotations import take_over_files
from dmforge.curation.sources.takedowns import forgotten_videos, reasons_by_video
from dmforge.curation.sources.videos import take_over_list
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, base32, digest, read
from dmforge.schemas.records import Outcome

WHOLE_WORKSPACE_KINDS = ("roster", "collective")
"""Kinds of commits that hold for one whole workspace, and not for a merged one."""


@dataclass(frozen=True, slots=True)
class MergeCounts(CommandResult):
    """Counts of what a merge added."""

    videos: int = 0
    annotations: int = 0
    """Annotation files."""
    media: int = 0
    answers: int = 0
    outcomes: int = 0
    rows: int = 0

    def __add__(self, other: MergeCounts) -> MergeCounts:
        return MergeCounts(*(getattr(self, counter.name) + getattr(other, counter.name) for counter in fields(self)))

    def as_json(self) -> dict[str, Any]:
        return {"added": asdict(self)}

    def blocks(self) -> Iterator[Block]:
        yield TextTable(["added", "number"], [[name, count] for name, count in asdict(self).items()])


def merge(lake: Lake, source: WorkspaceFolder) -> MergeCounts:
    """Merge another workspace, which is only read, into that of a lake."""
    target = lake.workspace
    if os.path.samefile(target.root, source.root):
        raise InputError("a workspace can't be merged with itself", where=str(source.root), hint="name another one")
    with source.reading():
        _refuse_links(source.root)
        source_lake = Lake(source)
        _refuse_other_renditions(target, source)
        _take_over_takedowns(target, source)
        forgotten = forgotten_videos(target)
        # first the files that rows refer to, then the rows
        media = _take_over_media(target, source, forgotten)
        answers = take_over_answers(target, source, forgotten)
        _copy_missing(target.runs, source.runs, "*.json")
        outcomes, rows = _take_over_commits(lake, source_lake)
        videos, files = take_over_list(target, source), take_over_files(target, source)
    if forgotten:
        takedown.forget(lake)
    lake.sweep()
    return MergeCounts(videos, files, media, answers, outcomes, rows)


def _refuse_links(root: Path) -> None:
    """Refuse a workspace with links that lead out of it, with devices or with pipes: it may come from a stranger."""
    real_root = root.resolve()
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            leads_out = path.is_symlink() and not path.resolve().is_relative_to(real_root)
            if leads_out or not (path.is_file() or path.is_dir() or path.is_symlink()):
                hint = "copy it with what its links lead to: cp -rL"
                raise InputError("it is no plain file of this workspace", where=str(path), hint=hint)


def _refuse_other_renditions(target: WorkspaceFolder, source: WorkspaceFolder) -> None:
    """Refuse a workspace whose renditions differ from the target's, before anything is changed."""
    for source_file in (source.media / "clips.json", *sorted(source.media.glob("*/*.json"))):
        target_file = target.media / source_file.relative_to(source.media)
        if (
            source_file.exists()
            and target_file.exists()
            and json.loads(source_file.read_bytes()) != json.loads(target_file.read_bytes())
        ):
            hint = "build both with the same [clips] and the same versions, as the records in runs/ tell them"
            raise InputError("the renditions of the two workspaces differ", where=str(source_file), hint=hint)


def _take_over_takedowns(target: WorkspaceFolder, source: WorkspaceFolder) -> None:
    if not source.forgotten.exists():
        return
    by_reason: defaultdict[str, list[Id]] = defaultdict(list)
    for video, reason in reasons_by_video(source).items():
        by_reason[reason].append(video)
    for reason, videos in by_reason.items():
        takedown.write_takedown(target, videos, reason)


def _take_over_media(target: WorkspaceFolder, source: WorkspaceFolder, forgotten: frozenset[Id]) -> int:
    forgotten_names = {base32(video) for video in forgotten}
    copied = _copy_missing(target.media, source.media, "clips.json")
    # receipts last: each comes after the renditions that it describes
    for path in sorted(source.media.glob("*/*"), key=lambda path: path.suffix == ".json"):
        if path.name.partition(".")[0] not in forgotten_names:
            copied += _copy_if_missing(path, target.media / path.relative_to(source.media))
    return copied


def _copy_missing(target_folder: Path, source_folder: Path, pattern: str) -> int:
    return sum(_copy_if_missing(path, target_folder / path.name) for path in sorted(source_folder.glob(pattern)))


def _copy_if_missing(source: Path, target: Path) -> int:
    """Copy a file unless the target exists; the number of files copied."""
    if target.exists() or source.name.endswith(TEMPORARY):
        return 0
    with placing(target) as temporary_path, disk_errors(source):
        shutil.copyfile(source, temporary_path)
    sync_folder(target.parent)
    return 1


def _take_over_commits(lake: Lake, source_lake: Lake) -> tuple[int, int]:
    """Publish every batch whose inputs are not yet settled in the target; the numbers of outcomes and of rows added."""
    outcomes = rows = 0
    settled: dict[tuple[str, str], set[Id]] = {}
    for commit in sorted(source_lake.commits.values(), key=lambda commit: commit.id):
        if commit.kind in WHOLE_WORKSPACE_KINDS:
            continue
        key = (commit.stage, commit.variant)
        if key not in settled:
            settled[key] = {
                input_id
                for settled_commit in list(lake.commits.values())
                if (settled_commit.stage, settled_commit.variant) == key
                for input_id in _settled_inputs(lake, settled_commit)
            }
        inputs = set(_settled_inputs(source_lake, commit))
        new_inputs = inputs - settled[key]
        if new_inputs:
            published = (
                _copy_commit(lake, source_lake, commit)
                if new_inputs == inputs
                else _publish_subset(lake, source_lake, commit, new_inputs)
            )
            outcomes += published.inputs
            rows += sum(part.rows for part in published.parts if part.table != Outcome.table)
            settled[key] |= new_inputs
    return outcomes, rows


def _settled_inputs(lake: Lake, commit: Commit) -> Iterator[Id]:
    for part in commit.of(Outcome.table):
        for table in read_part(lake.workspace.lake, part):
            yield from id_list(table.column(id_column(Outcome.table)))


def _copy_commit(lake: Lake, source_lake: Lake, commit: Commit) -> Commit:
    """Copy a whole commit, byte for byte."""
    for part in commit.parts:
        part.check_bytes(source_lake.workspace.lake)
        _copy_if_missing(part.path(source_lake.workspace.lake), part.path(lake.workspace.lake))
        part.check_bytes(lake.workspace.lake)
    copied = replace(commit, supersedes=())
    write_commit(lake.workspace.commits, copied)
    lake.commits[copied.id] = copied
    return copied


def _publish_subset(lake: Lake, source_lake: Lake, commit: Commit, new_inputs: set[Id]) -> Commit:
    """Publish the part of a commit that is about some of its inputs."""
    input_ids = pa.array(sorted(new_inputs), pa.binary(ID_BYTES))

    def filtered(table: str) -> Iterator[pa.Table]:
        column = id_column(table) if table == Outcome.table else MADE_FROM
        for part in commit.of(table):
            for rows in read_part(source_lake.workspace.lake, part):
                yield rows.filter(pc.is_in(rows.column(column), input_ids))

    variant = read(f"variant_{commit.variant}")[1]
    name = digest("merged", [commit.id, *sorted(new_inputs)])
    draft = CommitDraft("batch", commit.stage, variant, name, commit.config)
    return lake.publish(draft, {part.table: filtered(part.table) for part in commit.parts})
