"""Takedown: a video's rows, media, journal lines and shards go, and nothing about it is made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dmforge.curation.io.atomic import disk_errors, write_bytes
from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.journal import count_answers, forget_answers
from dmforge.curation.lake.parts import read_part
from dmforge.curation.lake.rewriting import Removal
from dmforge.curation.shards.folders import folders_with, remove_with
from dmforge.curation.sources.annotations import count_lines, forget_lines
from dmforge.curation.sources.reviews import count_reviews, forget_reviews
from dmforge.curation.sources.takedowns import forgotten_videos, reasons_by_video
from dmforge.curation.sources.videos import listed
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.ids import ID_BYTES, Id, base32, digest, show
from dmforge.schemas.records import RECORDS, Spliced, Video

COUNTS = ("videos", "rows", "journal_lines", "annotation_lines", "review_lines", "media_files", "selections")


@dataclass(frozen=True, slots=True)
class TakenDown(CommandResult):
    """Counts of what a takedown removed, or would remove; `swept` unless someone was reading, so that files go later."""

    videos: int
    """How many were in the workspace: rows of them, or a line in the list of videos."""
    rows: int
    journal_lines: int
    annotation_lines: int
    review_lines: int
    media_files: int
    selections: int
    swept: bool
    absent: tuple[Id, ...] = ()
    """Videos that were to be forgotten and have never come in."""
    earlier: Mapping[Id, str] = field(default_factory=dict[Id, str])
    """Videos that had been forgotten before, each with its reason."""
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"removed": {name: getattr(self, name) for name in COUNTS}}

    def blocks(self) -> Iterator[Block]:
        counts = ", ".join(f"{getattr(self, name)} {name.replace('_', ' ')}" for name in COUNTS)
        yield f"would remove {counts}" if self.dry_run else f"removed {counts}"

    def notes(self) -> Iterator[str]:
        """What the counts don't say."""
        for video in self.absent:
            yield f"{show('video', video)} is not in this workspace; if it comes, it is not taken in"
        for video, reason in self.earlier.items():
            yield f"{show('video', video)} was forgotten before: {reason}"
        if not self.swept:
            yield "someone is reading: the files that held the rows go with the next run"


def take_down(lake: Lake, videos: Sequence[Id], reason: str) -> TakenDown:
    """Take videos down: write it down first, so that the next run finishes what a kill interrupts."""
    affected, reasons = _with_spliced(lake, videos), reasons_by_video(lake.workspace)
    write_takedown(lake.workspace, affected, reason)
    try:
        present = _present_videos(lake, affected)
        removed = forget(lake)
    except DmforgeError as error:
        hint = f"{error.hint}; the takedown is written down in {lake.workspace.forgotten.name}, and goes on with the next run"
        raise type(error)(error.message, where=error.where, hint=hint) from error
    return _with_videos(removed, affected, present, reasons)


def rehearse(lake: Lake, videos: Sequence[Id]) -> TakenDown:
    """What a takedown would remove. Writes nothing."""
    workspace, affected = lake.workspace, _with_spliced(lake, videos)
    reasons = reasons_by_video(workspace)
    every_video = frozenset(affected) | reasons.keys()
    removed = TakenDown(
        len(every_video),
        sum(_removal(every_video).count(lake, commit) for commit in lake.commits.values()),
        count_answers(workspace, every_video),
        count_lines(workspace, every_video),
        count_reviews(workspace, every_video),
        len(_media_to_remove(lake, every_video)),
        len(folders_with(workspace, every_video)),
        swept=True,
        dry_run=True,
    )
    return _with_videos(removed, affected, _present_videos(lake, affected), reasons)


def _with_videos(removed: TakenDown, videos: Sequence[Id], present: Set[Id], reasons: Mapping[Id, str]) -> TakenDown:
    """The counts, and which of the videos of this takedown were there, were not, and had been forgotten before it."""
    new_videos = [video for video in videos if video not in reasons]
    return replace(
        removed,
        videos=sum(video in present for video in new_videos),
        absent=tuple(video for video in new_videos if video not in present),
        earlier={video: reasons[video] for video in videos if video in reasons},
    )


def _present_videos(lake: Lake, videos: Sequence[Id]) -> frozenset[Id]:
    """Those of the videos that are on the list, or that any row is about."""
    listed_videos = {video.video for video in listed(lake.workspace).values()} & set(videos)
    removal = _removal(frozenset(videos))
    return frozenset(listed_videos.union(*(removal.present_values(lake, commit) for commit in lake.commits.values())))


def _with_spliced(lake: Lake, videos: Sequence[Id]) -> list[Id]:
    """These videos, and all that were spliced from parts of them, under whichever recipe."""
    affected = set(videos)
    for commit in lake.commits.values():
        for part in commit.of(Spliced.table):
            for table in read_part(lake.workspace.lake, part):
                is_affected = pc.field("part").isin(pa.array(sorted(videos), pa.binary(ID_BYTES)))
                affected.update(id_list(table.filter(is_affected).column("video")))
    return [*videos, *sorted(affected - set(videos))]


def write_takedown(workspace: WorkspaceFolder, videos: Sequence[Id], reason: str) -> None:
    """Write a takedown into `inputs/forgotten.jsonl`: those of these videos that had none before."""
    path, forgotten = workspace.forgotten, forgotten_videos(workspace)
    written_lines = path.read_bytes() if path.exists() else b""
    if written_lines and not written_lines.endswith(b"\n"):
        written_lines += b"\n"
    new_lines = [{"video": show("video", video), "reason": reason} for video in videos if video not in forgotten]
    write_bytes(path, written_lines + "".join(json.dumps(line) + "\n" for line in new_lines).encode("ascii"))


def videos_of(lake: Lake, source: str) -> list[Id]:
    """Every video that came from a source, under whichever recipe it came in, or is only written down so far."""
    listed_videos = {video.video for video in listed(lake.workspace).values() if video.source == source}
    matches = listed_videos.union(*(id_list(rows.filter(pc.field("source") == source).column("id")) for rows in _videos(lake)))
    if not matches:
        hint = "dmforge audit --sql 'SELECT DISTINCT source FROM videos' lists the sources; nothing was removed"
        raise InputError(f"no video came from the source {source!r}", where="--source", hint=hint)
    return sorted(matches)


def videos_between(lake: Lake, low: Id, high: Id) -> list[Id]:
    """Every video with an id from low to high, wherever it is known from."""
    listed_videos = {video.video for video in listed(lake.workspace).values()}
    all_videos = listed_videos.union(*(id_list(rows.column("id")) for rows in _videos(lake)))
    return sorted(video for video in all_videos if low <= video <= high)


def _videos(lake: Lake) -> Iterator[pa.Table]:
    for commit in lake.commits.values():
        for part in commit.of(Video.table):
            yield from read_part(lake.workspace.lake, part)


def forget(lake: Lake) -> TakenDown:
    """Make the workspace what it would be had the forgotten videos never come in."""
    videos = forgotten_videos(lake.workspace)
    journal_lines, annotation_lines = forget_answers(lake.workspace, videos), forget_lines(lake.workspace, videos)
    review_lines = forget_reviews(lake.workspace, videos)
    media_files = _media_to_remove(lake, videos)
    for path in sorted(media_files):
        with disk_errors(path):
            path.unlink()
    selections = remove_with(lake.workspace, videos)
    removal = _removal(videos)
    rows = sum(removal.apply(lake, commit) for commit in list(lake.commits.values()))
    return TakenDown(
        len(videos), rows, journal_lines, annotation_lines, review_lines, len(media_files), selections, lake.sweep()
    )


def finish_forgetting(lake: Lake) -> None:
    """Finish a takedown that was cut short. Rows go last, so where there are none left, nothing else is."""
    if is_unfinished(lake):
        forget(lake)


def is_unfinished(lake: Lake) -> bool:
    """Whether rows of a forgotten video are still there."""
    videos = forgotten_videos(lake.workspace)
    return bool(videos) and any(_removal(videos).count(lake, commit) for commit in lake.commits.values())


def _media_to_remove(lake: Lake, videos: Set[Id]) -> set[Path]:
    """Media of these videos, and those that nothing names: a kill before their commit leaves them, and they may show what was
    taken down."""
    known_videos = {video.video for video in listed(lake.workspace).values()}
    known_names = set(map(base32, known_videos.union(*(id_list(rows.column("id")) for rows in _videos(lake)))))
    kept_names = known_names - set(map(base32, videos))
    return {path for path in lake.workspace.media.glob("*/*") if path.name.partition(".")[0] not in kept_names}


def _removal(videos: frozenset[Id]) -> Removal:
    ids = sorted(videos)
    return Removal(f"forgetting {digest('videos', ids).hex()}", _video_column, pa.array(ids, pa.binary(ID_BYTES)))


def _video_column(table: str) -> str:
    return next((record.video_column for record in RECORDS if record.table == table), "video")
