"""Takedown: a video's rows, media, journal lines and shards go, and nothing about it is made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors, write_bytes
from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.curation.io.sealed_json import sealed
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.journal_lines import count_answers, forget_answers
from dmforge.curation.lake.parts import read_part
from dmforge.curation.lake.rewriting import Removal
from dmforge.curation.shards.folders import folders_with, remove_with
from dmforge.curation.sources.annotations import count_lines, forget_lines
from dmforge.curation.sources.further_attempts import count_rounds, forget_rounds
from dmforge.curation.sources.reviews import count_reviews, forget_reviews
from dmforge.curation.sources.takedowns import forgotten_videos, reasons_by_video
from dmforge.curation.sources.videos import listed
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.ids import ID_BYTES, Id, base32, digest, show
from dmforge.schemas.records import RECORDS, Spliced, Video

COUNTS = ("videos", "rows", "journal_lines", "annotation_lines", "review_lines", "attempt_lines", "media_files", "selections")


@dataclass(frozen=True, slots=True)
class TakenDown(CommandResult):
    """Counts of what a takedown removed, or would remove; `swept` unless someone was reading, so that files go later."""

    videos: int
    """How many were in the workspace: rows of them, or a line in the list of videos."""
    rows: int
    journal_lines: int
    annotation_lines: int
    review_lines: int
    attempt_lines: int
    """Of further attempts that were granted."""
    media_files: int
    selections: int
    swept: bool
    absent: tuple[Id, ...] = ()
    """Videos that were to be forgotten and have never come in."""
    earlier: Mapping[Id, str] = field(default_factory=dict[Id, str])
    """Videos that had been forgotten before, each with its reason."""
    requests_out: int = 0
    """Requests about these videos that are out in batches: frames of them lie at a provider."""
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"removed": {count_name: getattr(self, count_name) for count_name in COUNTS}}

    def blocks(self) -> Iterator[Block]:
        counts_text = ", ".join(f"{getattr(self, count_name)} {count_name.replace('_', ' ')}" for count_name in COUNTS)
        yield f"would remove {counts_text}" if self.dry_run else f"removed {counts_text}"

    def notes(self) -> Iterator[str]:
        """What the counts don't say."""
        for video in self.absent:
            yield f"{show('video', video)} is not in this workspace; if it comes, it is not taken in"
        for video, reason in self.earlier.items():
            yield f"{show('video', video)} was forgotten before: {reason}"
        if self.requests_out:
            count = self.requests_out
            yield f"{count} requests with frames of them are out in batches: a provider has these; no answer will be kept"
        if not self.swept:
            yield "someone is reading: the files that held the rows go with the next run"


def take_down(lake: Lake, videos: Sequence[Id], reason: str) -> TakenDown:
    """Take videos down: write it down first, so that the next run finishes what a kill interrupts."""
    affected_videos, reason_by_video = _with_spliced(lake, videos), reasons_by_video(lake.workspace)
    write_takedown(lake.workspace, affected_videos, reason)
    try:
        present_videos = _present_videos(lake, affected_videos)
        taken_down = forget(lake)
    except DmforgeError as error:
        hint = f"{error.hint}; the takedown is written down in {lake.workspace.forgotten.name}, and goes on with the next run"
        raise type(error)(error.message, where=error.where, hint=hint) from error
    return _with_videos(taken_down, affected_videos, present_videos, reason_by_video)


def rehearse(lake: Lake, videos: Sequence[Id]) -> TakenDown:
    """What a takedown would remove. Writes nothing."""
    workspace, affected_videos = lake.workspace, _with_spliced(lake, videos)
    reason_by_video = reasons_by_video(workspace)
    every_video = frozenset(affected_videos) | reason_by_video.keys()
    taken_down = TakenDown(
        len(every_video),
        sum(_removal(every_video).count(lake, commit) for commit in lake.commits.values()),
        count_answers(workspace, every_video),
        count_lines(workspace, every_video),
        count_reviews(workspace, every_video),
        count_rounds(workspace, every_video),
        len(_media_to_remove(lake, every_video)),
        len(folders_with(workspace, every_video)),
        swept=True,
        dry_run=True,
    )
    return _with_videos(taken_down, affected_videos, _present_videos(lake, affected_videos), reason_by_video)


def _with_videos(
    taken_down: TakenDown, videos: Sequence[Id], present_videos: Set[Id], earlier_reasons: Mapping[Id, str]
) -> TakenDown:
    """The counts, and which of the videos of this takedown were there, were not, and had been forgotten before it."""
    new_videos = [video_id for video_id in videos if video_id not in earlier_reasons]
    return replace(
        taken_down,
        videos=sum(video_id in present_videos for video_id in new_videos),
        absent=tuple(video_id for video_id in new_videos if video_id not in present_videos),
        earlier={video_id: earlier_reasons[video_id] for video_id in videos if video_id in earlier_reasons},
    )


def _present_videos(lake: Lake, videos: Sequence[Id]) -> frozenset[Id]:
    """Those of the videos that are on the list, or that any row is about."""
    listed_videos = {listed_video.video for listed_video in listed(lake.workspace).values()} & set(videos)
    removal = _removal(frozenset(videos))
    return frozenset(listed_videos.union(*(removal.present_values(lake, commit) for commit in lake.commits.values())))


def _with_spliced(lake: Lake, videos: Sequence[Id]) -> list[Id]:
    """These videos, and all that were spliced from parts of them, under whichever recipe."""
    affected_videos = set(videos)
    for commit in lake.commits.values():
        for part in commit.of(Spliced.table):
            for spliced_table in read_part(lake.workspace.lake, part):
                affected_part_filter = pc.field("part").isin(pa.array(sorted(videos), pa.binary(ID_BYTES)))
                affected_videos.update(id_list(spliced_table.filter(affected_part_filter).column("video")))
    return [*videos, *sorted(affected_videos - set(videos))]


def write_takedown(workspace: WorkspaceFolder, videos: Sequence[Id], reason: str) -> None:
    """Write a takedown into `inputs/forgotten.jsonl`: those of these videos that had none before."""
    takedowns_path, already_forgotten = workspace.forgotten, forgotten_videos(workspace)
    old_bytes = takedowns_path.read_bytes() if takedowns_path.exists() else b""
    if old_bytes and not old_bytes.endswith(b"\n"):
        old_bytes += b"\n"
    new_entries = [
        {"video": show("video", video_id), "reason": reason} for video_id in videos if video_id not in already_forgotten
    ]
    write_bytes(
        takedowns_path,
        old_bytes + "".join(json.dumps(sealed(takedown_entry)) + "\n" for takedown_entry in new_entries).encode("ascii"),
    )


def videos_of(lake: Lake, source: str) -> list[Id]:
    """Every video that came from a source, under whichever recipe it came in, or is only written down so far."""
    listed_videos = {listed_video.video for listed_video in listed(lake.workspace).values() if listed_video.source == source}
    videos_of_source = listed_videos.union(
        *(id_list(video_table.filter(pc.field("source") == source).column("id")) for video_table in _videos(lake))
    )
    if not videos_of_source:
        hint = "dmforge audit --sql 'SELECT DISTINCT source FROM videos' lists the sources; nothing was removed"
        raise InputError(f"no video came from the source {source!r}", where="--source", hint=hint)
    return sorted(videos_of_source)


def videos_between(lake: Lake, low_id: Id, high_id: Id) -> list[Id]:
    """Every video with an id from low to high, wherever it is known from."""
    listed_videos = {listed_video.video for listed_video in listed(lake.workspace).values()}
    all_videos = listed_videos.union(*(id_list(video_table.column("id")) for video_table in _videos(lake)))
    return sorted(video_id for video_id in all_videos if low_id <= video_id <= high_id)


def _videos(lake: Lake) -> Iterator[pa.Table]:
    for commit in lake.commits.values():
        for part in commit.of(Video.table):
            yield from read_part(lake.workspace.lake, part)


def forget(lake: Lake) -> TakenDown:
    """Make the workspace what it would be had the forgotten videos never come in."""
    forgotten_ids = forgotten_videos(lake.workspace)
    journal_line_count, annotation_line_count = (
        forget_answers(lake.workspace, forgotten_ids),
        forget_lines(lake.workspace, forgotten_ids),
    )
    review_line_count = forget_reviews(lake.workspace, forgotten_ids)
    attempt_line_count = forget_rounds(lake.workspace, forgotten_ids)
    media_files = _media_to_remove(lake, forgotten_ids)
    for media_path in sorted(media_files):
        with disk_errors(media_path):
            machine.current.unlink(media_path)
    selection_count = remove_with(lake.workspace, forgotten_ids)
    _remove_set_aside(lake.workspace)
    removal = _removal(forgotten_ids)
    row_count = sum(removal.apply(lake, commit) for commit in list(lake.commits.values()))
    return TakenDown(
        len(forgotten_ids),
        row_count,
        journal_line_count,
        annotation_line_count,
        review_line_count,
        attempt_line_count,
        len(media_files),
        selection_count,
        lake.sweep(),
    )


def _remove_set_aside(workspace: WorkspaceFolder) -> None:
    """Remove the folders of what a repair set aside: damaged as it is, it may show any video."""
    with disk_errors(workspace.set_aside):
        for folder in (path for path in workspace.set_aside.glob("*") if path.is_dir()):
            machine.current.remove_tree(folder)


def finish_forgetting(lake: Lake) -> None:
    """Finish a takedown that was cut short. Rows go last, so where there are none left, nothing else is."""
    if is_unfinished(lake):
        forget(lake)


def is_unfinished(lake: Lake) -> bool:
    """Whether rows of a forgotten video are still there."""
    forgotten_ids = forgotten_videos(lake.workspace)
    return bool(forgotten_ids) and any(_removal(forgotten_ids).count(lake, commit) for commit in lake.commits.values())


def _media_to_remove(lake: Lake, videos: Set[Id]) -> set[Path]:
    """Media of these videos, and those that nothing names: a kill before their commit leaves them, and they may show what was
    taken down."""
    known_videos = {listed_video.video for listed_video in listed(lake.workspace).values()}
    known_names = set(map(base32, known_videos.union(*(id_list(video_table.column("id")) for video_table in _videos(lake)))))
    kept_names = known_names - set(map(base32, videos))
    return {
        media_path for media_path in lake.workspace.media.glob("*/*") if media_path.name.partition(".")[0] not in kept_names
    }


def _removal(videos: frozenset[Id]) -> Removal:
    sorted_ids = sorted(videos)
    return Removal(f"forgetting {digest('videos', sorted_ids).hex()}", _video_column, pa.array(sorted_ids, pa.binary(ID_BYTES)))


def _video_column(table_name: str) -> str:
    return next((record.video_column for record in RECORDS if record.table == table_name), "video")
