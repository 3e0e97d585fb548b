"""The annotation files of a workspace: copied into `inputs/annotations/`, so that tasks follow from the workspace alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from dmforge.curation.atomic import disk_errors, sync_folder, writing
from dmforge.curation.sources.videos import Listed, by_name, listed
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
    if not file.is_file():
        raise InputError("there is no such file", where=str(file), mend="correct the path")
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
    named = sorted((name, video.sha256) for name, videos in by_name(listed(workspace).values()).items() for video in videos)
    return digest("annotations", [[path.name for path in _files(workspace)], named]).hex()


def rows_of(content: bytes, name: str, videos: Mapping[str, list[Listed]]) -> Iterator[Row]:
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
        found = videos.get(PurePath(str(named)).stem, [])
        if len(found) > 1:
            mend = "rename one of them and ingest it again"
            raise InputError(f"{len(found)} videos are called {named!r}", where=f"{where}: video", mend=mend)
        if not found:
            raise InputError(
                f"there is no video {named!r} here", where=f"{where}: video", mend="ingest it first, or correct its name"
            )
        (video,) = found
        yield Row(video.video, text, source=video.source, licence=video.licence, origin=where)


def _files(workspace: Workspace) -> list[Path]:
    return sorted(_folder(workspace).glob("*.jsonl"))


def _folder(workspace: Workspace) -> Path:
    return workspace.inputs / "annotations"
