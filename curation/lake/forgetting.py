"""Takedown: a video's rows, media and journal lines go, and nothing about it is made again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dmforge.curation.atomic import disk_errors, writing
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.journal import forget_answers
from dmforge.curation.lake.parts import read_part
from dmforge.curation.lake.rewriting import Removal
from dmforge.curation.workspace import Workspace
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, base32, digest, read, show
from dmforge.schemas.records import RECORDS, Video


@dataclass(frozen=True, slots=True)
class Removed:
    """What a takedown took, counted."""

    videos: int
    rows: int
    journal_lines: int
    media_files: int


def forgotten_videos(workspace: Workspace) -> frozenset[Id]:
    """The videos that people asked to forget: `inputs/forgotten.jsonl`, one `{"video": id, "reason": text}` a line."""
    path = workspace.forgotten
    if not path.exists():
        return frozenset()
    found: set[Id] = set()
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            found.add(read(json.loads(line)["video"])[1])
        except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise InputError(
                f"not a takedown: {error}", where=f"{path}:{number}", mend='write {"video": "video_...", "reason": "..."}'
            ) from None
    return frozenset(found)


def request(workspace: Workspace, videos: Sequence[Id], reason: str) -> None:
    """Write the takedown down before anything is removed: a kill in the middle is finished by the next run."""
    path = workspace.forgotten
    known = forgotten_videos(workspace)
    before = path.read_bytes() if path.exists() else b""
    fresh = [{"video": show("video", video), "reason": reason} for video in videos if video not in known]
    with writing(path) as file:
        file.write(before + "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in fresh).encode())


def videos_of(lake: Lake, source: str) -> list[Id]:
    """Every video that came from a source, under whichever recipe it came in."""
    found: set[Id] = set()
    for commit in lake.commits.values():
        for part in commit.of(Video.table):
            for table in read_part(lake.workspace.lake, part):
                found.update(id_list(table.filter(pc.field("source") == source).column("id")))
    return sorted(found)


def forget(lake: Lake) -> Removed:
    """Make the lake what it would be had the forgotten videos never come in. Does nothing where that is so."""
    videos = forgotten_videos(lake.workspace)
    if not videos:
        return Removed(0, 0, 0, 0)
    name = f"forgetting {digest('videos', sorted(videos)).hex()}"
    removal = Removal(name, _video_column, pa.array(sorted(videos), pa.binary(ID_BYTES)))
    rows = sum(removal.apply(lake, commit) for commit in list(lake.commits.values()))
    lake.sweep()
    return Removed(len(videos), rows, forget_answers(lake.workspace, videos), _remove_media(lake.workspace, videos))


def _video_column(table: str) -> str:
    return next((record.video_column for record in RECORDS if record.table == table), "video")


def _remove_media(workspace: Workspace, videos: frozenset[Id]) -> int:
    removed = 0
    for video in videos:
        for path in sorted(workspace.media.glob(f"*/{base32(video)}*")):
            with disk_errors(path):
                path.unlink()
            removed += 1
    return removed
