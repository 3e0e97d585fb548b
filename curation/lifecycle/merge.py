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
from dmforge.curation.lake.journal_lines import take_over_answers
from dmforge.curation.lake.parts import id_column, read_part
from dmforge.curation.lifecycle import takedown
from dmforge.curation.sources.annotations import take_over_files
from dmforge.curation.sources.further_attempts import take_over_rounds
from dmforge.curation.sources.takedowns import forgotten_videos, takedowns
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
        yield TextTable(["added", "number"], [[count_name, count] for count_name, count in asdict(self).items()])


def merge(lake: Lake, source_workspace: WorkspaceFolder) -> MergeCounts:
    """Merge another workspace, which is only read, into that of a lake."""
    target_workspace = lake.workspace
    if os.path.samefile(target_workspace.root, source_workspace.root):
        raise InputError("a workspace can't be merged with itself", where=str(source_workspace.root), hint="name another one")
    with source_workspace.reading():
        _refuse_links(source_workspace.root)
        source_lake = Lake(source_workspace)
        _refuse_other_renditions(target_workspace, source_workspace)
        _take_over_takedowns(target_workspace, source_workspace)
        forgotten_ids = forgotten_videos(target_workspace)
        # first the files that rows refer to, then the rows
        media_file_count = _take_over_media(target_workspace, source_workspace, forgotten_ids)
        answer_count = take_over_answers(target_workspace, source_workspace, forgotten_ids)
        take_over_rounds(target_workspace, source_workspace)
        _copy_missing(target_workspace.runs, source_workspace.runs, "*.json")
        outcome_count, row_count = _take_over_commits(lake, source_lake)
        video_count, annotation_file_count = (
            take_over_list(target_workspace, source_workspace),
            take_over_files(target_workspace, source_workspace),
        )
    if forgotten_ids:
        takedown.forget(lake)
    lake.sweep()
    return MergeCounts(video_count, annotation_file_count, media_file_count, answer_count, outcome_count, row_count)


def _refuse_links(root: Path) -> None:
    """Refuse a workspace with links that lead out of it, with devices or with pipes: it may come from a stranger."""
    real_root = root.resolve()
    for walked_folder, folder_names, file_names in os.walk(root):
        for entry_name in (*folder_names, *file_names):
            entry_path = Path(walked_folder, entry_name)
            leads_out = entry_path.is_symlink() and not entry_path.resolve().is_relative_to(real_root)
            if leads_out or not (entry_path.is_file() or entry_path.is_dir() or entry_path.is_symlink()):
                hint = "copy it with what its links lead to: cp -rL"
                raise InputError("it is no plain file of this workspace", where=str(entry_path), hint=hint)


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
    by_reason: defaultdict[str, list[Id]] = defaultdict(list)
    for video_id, takedown_reason in takedowns(source):
        by_reason[takedown_reason].append(video_id)
    for takedown_reason, video_ids in by_reason.items():
        takedown.write_takedown(target, video_ids, takedown_reason)


def _take_over_media(target: WorkspaceFolder, source: WorkspaceFolder, forgotten_ids: frozenset[Id]) -> int:
    forgotten_names = {base32(video_id) for video_id in forgotten_ids}
    copied_count = _copy_missing(target.media, source.media, "clips.json")
    # receipts last: each comes after the renditions that it describes
    for media_path in sorted(source.media.glob("*/*"), key=lambda candidate_path: candidate_path.suffix == ".json"):
        if media_path.name.partition(".")[0] not in forgotten_names:
            copied_count += _copy_if_missing(media_path, target.media / media_path.relative_to(source.media))
    return copied_count


def _copy_missing(target_folder: Path, source_folder: Path, pattern: str) -> int:
    return sum(
        _copy_if_missing(source_path, target_folder / source_path.name) for source_path in sorted(source_folder.glob(pattern))
    )


def _copy_if_missing(source_path: Path, target_path: Path) -> int:
    """Copy a file unless the target exists; the number of files copied."""
    if target_path.exists() or source_path.name.endswith(TEMPORARY):
        return 0
    with placing(target_path) as temporary_path, disk_errors(source_path):
        shutil.copyfile(source_path, temporary_path)
    sync_folder(target_path.parent)
    return 1


def _take_over_commits(lake: Lake, source_lake: Lake) -> tuple[int, int]:
    """Publish every batch whose inputs are not yet settled in the target; the numbers of outcomes and of rows added."""
    outcome_count = row_count = 0
    settled_by_variant: dict[tuple[str, str], set[Id]] = {}
    for source_commit in sorted(source_lake.commits.values(), key=lambda source_commit: source_commit.id):
        if source_commit.kind in WHOLE_WORKSPACE_KINDS:
            continue
        stage_and_variant = (source_commit.stage, source_commit.variant)
        if stage_and_variant not in settled_by_variant:
            settled_by_variant[stage_and_variant] = {
                input_id
                for settled_commit in list(lake.commits.values())
                if (settled_commit.stage, settled_commit.variant) == stage_and_variant
                for input_id in _settled_inputs(lake, settled_commit)
            }
        source_inputs = set(_settled_inputs(source_lake, source_commit))
        new_inputs = source_inputs - settled_by_variant[stage_and_variant]
        if new_inputs:
            published_commit = (
                _copy_commit(lake, source_lake, source_commit)
                if new_inputs == source_inputs
                else _publish_subset(lake, source_lake, source_commit, new_inputs)
            )
            outcome_count += published_commit.inputs
            row_count += sum(part.rows for part in published_commit.parts if part.table != Outcome.table)
            settled_by_variant[stage_and_variant] |= new_inputs
    return outcome_count, row_count


def _settled_inputs(lake: Lake, commit: Commit) -> Iterator[Id]:
    for part in commit.of(Outcome.table):
        for outcome_table in read_part(lake.workspace.lake, part):
            yield from id_list(outcome_table.column(id_column(Outcome.table)))


def _copy_commit(lake: Lake, source_lake: Lake, commit: Commit) -> Commit:
    """Copy a whole commit, byte for byte."""
    for part in commit.parts:
        part.check_bytes(source_lake.workspace.lake)
        _copy_if_missing(part.path(source_lake.workspace.lake), part.path(lake.workspace.lake))
        part.check_bytes(lake.workspace.lake)
    copied_commit = replace(commit, supersedes=())
    write_commit(lake.workspace.commits, copied_commit)
    lake.commits[copied_commit.id] = copied_commit
    return copied_commit


def _publish_subset(lake: Lake, source_lake: Lake, commit: Commit, new_inputs: set[Id]) -> Commit:
    """Publish the part of a commit that is about some of its inputs."""
    input_ids = pa.array(sorted(new_inputs), pa.binary(ID_BYTES))

    def filtered(table_name: str) -> Iterator[pa.Table]:
        input_column = id_column(table_name) if table_name == Outcome.table else MADE_FROM
        for part in commit.of(table_name):
            for part_rows in read_part(source_lake.workspace.lake, part):
                yield part_rows.filter(pc.is_in(part_rows.column(input_column), input_ids))

    variant = read(f"variant_{commit.variant}")[1]
    commit_id = digest("merged", [commit.id, *sorted(new_inputs)])
    commit_draft = CommitDraft("batch", commit.stage, variant, commit_id, commit.config)
    return lake.publish(commit_draft, {part.table: filtered(part.table) for part in commit.parts})
