"""The annotation files of a workspace: copied into `inputs/annotations/`, so that tasks follow from the workspace alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from dmforge.curation.atomic import disk_errors, sync_folder, writing
from dmforge.curation.sources.videos import Listed, listed
from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Record, aside


@dataclass(frozen=True, slots=True)
class Row(Record):
    """A line of an annotation file, about a video that is here."""

    kind = "row"
    table = "rows"

    video: Id
    line: str
    source: str = aside()
    licence: str = aside()
    origin: str = aside("")
    """The file and the number of the line."""


def add(workspace: Workspace, file: Path) -> list[Id]:
    """Take an annotation file in, after a look at each of its lines: the rows that they are."""
    with disk_errors(file):
        content = file.read_bytes()
    videos = by_name(listed(workspace).values())
    rows = [row.id for row in rows_of(content, str(file), videos)]
    place = _folder(workspace) / f"{hashlib.sha256(content).hexdigest()[:16]}-{file.name}"
    if not place.exists():
        with writing(place) as copy:
            copy.write(content)
        sync_folder(place.parent)
    return rows


def all_rows(workspace: Workspace) -> Iterator[Row]:
    """Every line of every file that was taken in."""
    videos = by_name(listed(workspace).values())
    for path in _files(workspace):
        with disk_errors(path):
            content = path.read_bytes()
        # the digest that the name begins with keeps files apart, and is nothing to show
        yield from rows_of(content, path.name.partition("-")[2], videos)


def edition(workspace: Workspace) -> str:
    """What the files say: the digest that each is named by."""
    videos = sorted((video.source_id, video.sha256) for video in listed(workspace).values())
    return digest("annotations", [[path.name for path in _files(workspace)], videos]).hex()


def by_name(videos: Iterable[Listed]) -> dict[str, Listed]:
    """Videos by the stem of their file's name, by which annotations name them."""
    return {video.source_id: video for video in videos}


def rows_of(content: bytes, name: str, videos: Mapping[str, Listed]) -> Iterator[Row]:
    """The lines of a file, each with its video."""
    # cut at line feeds only: JSON strings may hold any of the other characters that end a line somewhere
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            text = line.decode("utf-8")
            named = json.loads(text)["video"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"no task: {error}", where=where, mend='write {"video": ..., "kind": ..., ...}') from None
        video = videos.get(PurePath(str(named)).stem)
        if video is None:
            raise InputError(
                f"there is no video {named!r} here", where=f"{where}: video", mend="ingest it first, or correct its name"
            )
        yield Row(video.video, text, source=video.source, licence=video.licence, origin=where)


def _files(workspace: Workspace) -> list[Path]:
    return sorted(_folder(workspace).glob("*.jsonl"))


def _folder(workspace: Workspace) -> Path:
    return workspace.inputs / "annotations"
