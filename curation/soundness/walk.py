"""Walks a whole workspace: commits, parts, journal, inputs, records, media, shards, exports, checkpoints, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.io import machine
from dmforge.curation.io.batching import batched
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.parts import Part
from dmforge.curation.soundness.input_files import check_inputs, check_lines, check_listed, check_records
from dmforge.curation.soundness.journal_files import check_columns, check_indexes, check_journal
from dmforge.curation.soundness.lake_files import LakeFiles, lake_files
from dmforge.curation.soundness.media_files import check_media, stored_videos
from dmforge.curation.soundness.shard_files import (
    check_checksums,
    check_current,
    check_selection,
    folders_with_checksums,
    packing_commits,
    selection_folders,
)
from dmforge.curation.soundness.workspace_defects import RUN, WorkspaceDefect, WorkspaceReport, first_of_each
from dmforge.curation.sources.videos import ListedVideo, listed
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError

VIDEOS_AT_ONCE = 200
"""Videos of one piece of the work."""
Check = Callable[[], Iterator[WorkspaceDefect]]
"""One piece of the work; each is done by one thread."""
Begin = Callable[[int], Callable[[int], None]]
"""Called with how many pieces there are; gives what is called with how many were done."""


def walk(
    workspace: WorkspaceFolder,
    stages: Sequence[AnyStage],
    current_folders: Callable[[Lake], Sequence[Path]],
    begin: Begin,
    *,
    in_use: bool,
) -> WorkspaceReport:
    """Check a workspace. `current_folders`: the selections that should be there; `in_use`: a run writes meanwhile.

    Threads share the work: hashing, which is nearly all of it, holds no lock of Python's.
    """
    began_s, files = machine.current.monotonic(), lake_files(workspace)
    defects = list(files.defects)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as thread_pool:
        checked_parts = set[Part]()
        while parts := [pair for pair in files.parts(_damaged(defects)) if pair[1] not in checked_parts]:
            advance = begin(len(parts))
            for part_defects in thread_pool.map(files.defects_of_part, parts):
                defects += part_defects
                advance(1)
            checked_parts.update(part for _, part in parts)
        lake = Lake(workspace, without=_damaged(defects))
        checks = list(_checks(workspace, lake, stages, current_folders, in_use=in_use))
        advance = begin(len(checks))
        for check_defects in thread_pool.map(_done, checks):
            defects += check_defects
            advance(1)
    file_count, byte_count = _sizes(workspace)
    notes = () if in_use else tuple(_notes(files))
    return WorkspaceReport(file_count, byte_count, machine.current.monotonic() - began_s, tuple(first_of_each(defects)), notes)


def _done(check: Check) -> list[WorkspaceDefect]:
    return list(check())


def _notes(files: LakeFiles) -> Iterator[str]:
    """What a kill leaves, and what is left where a commit file was lost: the next run removes it, and makes the batch again."""
    lake_folder = files.workspace.lake
    named_paths = {part.path(lake_folder) for commit in files.commits for part in commit.parts}
    unnamed = sorted(path for path in lake_folder.glob("*/part-*.parquet") if path not in named_paths)
    if unnamed:
        yield f"{len(unnamed)} parts that no commit names, {unnamed[0].relative_to(files.workspace.root)} first; {RUN}"


def _damaged(defects: Sequence[WorkspaceDefect]) -> set[Path]:
    """The commit files that can't be read, or that name a part which isn't as it was."""
    return {path for defect in defects if defect.repair for path in defect.repair.set_aside if path.suffix == ".json"}


def _checks(
    workspace: WorkspaceFolder,
    lake: Lake,
    stages: Sequence[AnyStage],
    current_folders: Callable[[Lake], Sequence[Path]],
    *,
    in_use: bool,
) -> Iterator[Check]:
    commits_by_selection = packing_commits(lake)
    folders = dict.fromkeys([*selection_folders(workspace), *current_folders(lake)])
    yield partial(check_journal, lake, in_use=in_use)
    yield partial(check_indexes, workspace)
    yield partial(check_columns, workspace)
    yield from (partial(check_selection, workspace, folder, commits_by_selection) for folder in folders)
    yield from (partial(check_checksums, workspace, folder) for folder in folders_with_checksums(workspace))
    listed_videos = _listed(workspace)
    for videos in batched(stored_videos(lake).values(), VIDEOS_AT_ONCE):
        yield partial(check_media, workspace, videos, listed_videos)
    yield partial(check_inputs, workspace)
    yield partial(check_listed, lake, stages)
    yield partial(check_records, workspace)
    yield partial(check_lines, workspace)
    yield partial(check_current, workspace)


def _listed(workspace: WorkspaceFolder) -> Mapping[str, ListedVideo]:
    try:
        return listed(workspace)
    except DmforgeError:
        return {}  # what is wrong with the list its own check says


def _sizes(workspace: WorkspaceFolder) -> tuple[int, int]:
    """How many files there are, and their bytes."""
    sizes = [path.stat().st_size for path in workspace.root.rglob("*") if path.is_file() and not path.is_symlink()]
    return len(sizes), sum(sizes)
