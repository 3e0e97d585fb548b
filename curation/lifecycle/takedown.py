"""Takedown: a video's rows, media, journal lines and shards go, and nothing about it is made again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dmforge.curation.io.atomic import disk_errors, write_bytes
from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.journal import forget_answers
from dmforge.curation.lake.parts import read_part
from dmforge.curation.lake.rewriting import Removal
from dmforge.curation.shards.folders import remove_with
from dmforge.curation.sources.annotations import forget_lines
from dmforge.curation.sources.reviews import forget_reviews
from dmforge.curation.sources.takedowns import forgotten_videos
from dmforge.curation.sources.videos import listed
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, base32, digest, show
from dmforge.schemas.records import RECORDS, Spliced, Video


@dataclass(frozen=True, slots=True)
class TakenDown(CommandResult):
    """Counts of what a takedown removed. Where someone was reading, the files themselves go with the next run."""

    videos: int
    rows: int
    journal_lines: int
    annotation_lines: int
    review_lines: int
    media_files: int
    selections: int
    swept: bool

    def as_json(self) -> dict[str, Any]:
        return {"removed": {name: count for name, count in asdict(self).items() if name != "swept"}}

    def blocks(self) -> Iterator[Block]:
        counts = self.as_json()["removed"].items()
        yield "removed " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts)


def take_down(lake: Lake, videos: Sequence[Id], reason: str) -> TakenDown:
    """Take videos down: write it down first, so that the next run finishes what a kill interrupts."""
    new_count = write_takedown(lake.workspace, _with_spliced(lake, videos), reason)
    return replace(forget(lake), videos=new_count)


def _with_spliced(lake: Lake, videos: Sequence[Id]) -> list[Id]:
    """These videos, and all that were spliced from parts of them, under whichever recipe."""
    affected = set(videos)
    for commit in lake.commits.values():
        for part in commit.of(Spliced.table):
            for table in read_part(lake.workspace.lake, part):
                is_affected = pc.field("part").isin(pa.array(sorted(videos), pa.binary(ID_BYTES)))
                affected.update(id_list(table.filter(is_affected).column("video")))
    return [*videos, *sorted(affected - set(videos))]


def write_takedown(workspace: WorkspaceFolder, videos: Sequence[Id], reason: str) -> int:
    """Write a takedown into `inputs/forgotten.jsonl`; how many of these videos had none before."""
    path, forgotten = workspace.forgotten, forgotten_videos(workspace)
    written_lines = path.read_bytes() if path.exists() else b""
    if written_lines and not written_lines.endswith(b"\n"):
        written_lines += b"\n"
    new_lines = [{"video": show("video", video), "reason": reason} for video in videos if video not in forgotten]
    write_bytes(path, written_lines + "".join(json.dumps(line) + "\n" for line in new_lines).encode("ascii"))
    return len(new_lines)


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
    media_files = _remove_media(lake.workspace, videos) + _remove_stray_media(lake)
    selections = remove_with(lake.workspace, videos)
    removal = _removal(videos)
    rows = sum(removal.apply(lake, commit) for commit in list(lake.commits.values()))
    return TakenDown(len(videos), rows, journal_lines, annotation_lines, review_lines, media_files, selections, lake.sweep())


def finish_forgetting(lake: Lake) -> None:
    """Finish a takedown that was cut short. Rows go last, so where there are none left, nothing else is."""
    if is_unfinished(lake):
        forget(lake)


def is_unfinished(lake: Lake) -> bool:
    """Whether rows of a forgotten video are still there."""
    videos = forgotten_videos(lake.workspace)
    return bool(videos) and any(_removal(videos).count(lake, commit) for commit in lake.commits.values())


def _remove_stray_media(lake: Lake) -> int:
    """Remove media that nothing names: a kill before their commit leaves them, and they may show what was taken down."""
    known_names = {base32(video.video) for video in listed(lake.workspace).values()}
    for rows in _videos(lake):
        known_names.update(map(base32, id_list(rows.column("id"))))
    paths = sorted(lake.workspace.media.glob("*/*"))
    return _remove_files(path for path in paths if path.name.partition(".")[0] not in known_names)


def _removal(videos: frozenset[Id]) -> Removal:
    ids = sorted(videos)
    return Removal(f"forgetting {digest('videos', ids).hex()}", _video_column, pa.array(ids, pa.binary(ID_BYTES)))


def _video_column(table: str) -> str:
    return next((record.video_column for record in RECORDS if record.table == table), "video")


def _remove_media(workspace: WorkspaceFolder, videos: frozenset[Id]) -> int:
    return _remove_files(path for video in videos for path in sorted(workspace.media.glob(f"*/{base32(video)}*")))


def _remove_files(paths: Iterable[Path]) -> int:
    removed = 0
    for path in paths:
        with disk_errors(path):
            path.unlink()
        removed += 1
    return removed
