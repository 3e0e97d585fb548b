"""Takes what is damaged out of the way and copies back what is still whole elsewhere: a run then makes the rest again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from dmforge.curation.contract.stage_results import MADE_FROM
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.rewriting import Removal
from dmforge.curation.soundness.media_files import StoredVideo, found_in_shards, stored_videos
from dmforge.curation.soundness.setting_aside import note_lost, set_aside, set_lines_aside
from dmforge.curation.soundness.workspace_defects import WorkspaceDefect
from dmforge.curation.video.media import Media, read_receipt
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.records import Outcome


def repair(workspace: WorkspaceFolder, defects: Sequence[WorkspaceDefect]) -> tuple[WorkspaceDefect, ...]:
    """Repair a workspace that is held for writing, as far as that takes no run; the defects that were dealt with."""
    repairable = [defect for defect in defects if defect.repair is not None]
    repairs = [defect.repair for defect in repairable if defect.repair is not None]
    for path in dict.fromkeys(path for repair in repairs for path in repair.set_aside):
        if path.exists():
            set_aside(workspace, path)
    numbers_by_journal: defaultdict[Path, set[int]] = defaultdict(set)
    for journal_path, number in (line for repair in repairs for line in repair.lines):
        numbers_by_journal[journal_path].add(number)
    for journal_path, numbers in numbers_by_journal.items():
        set_lines_aside(workspace, journal_path, numbers)
    requests = [request for repair in repairs for request in repair.requests]
    if requests:
        note_lost(workspace, requests)
    _restore_media(workspace, {repair.video for repair in repairs if repair.video is not None})
    return tuple(repairable)


def _restore_media(workspace: WorkspaceFolder, videos: Iterable[Id]) -> None:
    """Have the media of videos again: from a shard, or by making the input pending that they come from."""
    wanting = set(videos)
    if not wanting:
        return
    lake = Lake(workspace)
    stored_by_id = stored_videos(lake)
    to_render = [
        stored_by_id[video] for video in sorted(wanting & stored_by_id.keys()) if not _copied_back(Media(workspace, video))
    ]
    _reopen(lake, to_render)
    lake.sweep()


def _copied_back(media: Media) -> bool:
    try:
        receipt = read_receipt(media)
    except DmforgeError:
        return False
    copies = found_in_shards(media, receipt)
    if copies is not None:
        copies.write(media)
    return copies is not None


def _reopen(lake: Lake, videos: Sequence[StoredVideo]) -> None:
    """Make the inputs pending that videos were made from: with the same ids, all that was made of them stays current."""
    inputs_by_commit: defaultdict[str, list[Id]] = defaultdict(list)
    for stored in videos:
        inputs_by_commit[stored.commit.id].append(stored.made_from)
    for commit_id, inputs in inputs_by_commit.items():
        removal = Removal("media", _input_column, pa.array(sorted(inputs), pa.binary(ID_BYTES)))
        removal.apply(lake, lake.commits[commit_id])


def _input_column(table: str) -> str:
    return "input" if table == Outcome.table else MADE_FROM
