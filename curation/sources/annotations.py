"""The annotation lines of a workspace: taken into `inputs/annotations/` beside the id of the video that each is about.

Names are resolved once, when a file is brought: what is brought later can't make a name mean something else, or nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from dmforge.curation.atomic import disk_errors, sync_folder, writing
from dmforge.curation.lake.forgotten import forgotten_videos
from dmforge.curation.sources.videos import Listed, by_name, listed
from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest, read, show
from dmforge.schemas.records import UNKNOWN, Record, aside


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


def add(workspace: Workspace, files: Sequence[Path]) -> list[Id]:
    """Take annotation files in, all of them or none: the rows that they are. Lines about forgotten videos are left out."""
    videos, forgotten = by_name(listed(workspace).values()), forgotten_videos(workspace)
    brought = [[row for row in _rows_of(file, videos) if row.video not in forgotten] for file in files]
    for rows in brought:
        lines = [json.dumps({"video": show("video", row.video), "from": row.origin, "line": row.line}) + "\n" for row in rows]
        content = "".join(lines).encode("ascii")
        place = _folder(workspace) / f"{hashlib.sha256(content).hexdigest()[:32]}.jsonl"
        if rows and not place.exists():
            _write(place, content)
    return [row.id for rows in brought for row in rows]


def all_rows(workspace: Workspace) -> Iterator[Row]:
    """Every line of every file that was taken in."""
    videos = {video.video: video for video in listed(workspace).values()}
    for path in _files(workspace):
        with disk_errors(path):
            lines = path.read_bytes().splitlines()
        for number, line in enumerate(lines, 1):
            try:
                told = json.loads(line)
                video = read(told["video"])[1]
                known = videos.get(video)
                yield Row(
                    video, told["line"], source=known.source if known else UNKNOWN,
                    licence=known.licence if known else UNKNOWN, origin=told["from"],
                )  # fmt: skip
            except (ValueError, KeyError, TypeError, InputError) as error:
                mend = "delete the file, and import the annotations again"
                raise InputError(f"no annotation: {error}", where=f"{path}:{number}", mend=mend) from None


def edition(workspace: Workspace) -> str:
    """What the files say: the digests that they are named by, and what is said of their videos."""
    told = sorted([video.sha256, video.source, video.licence] for video in listed(workspace).values())
    return digest("annotations", [[path.name for path in _files(workspace)], told]).hex()


def forget_lines(workspace: Workspace, videos: Collection[Id]) -> int:
    """Remove the lines about some videos; how many there were."""
    heads = tuple(f'{{"video": "{show("video", video)}", '.encode() for video in videos)
    removed = 0
    for path in _files(workspace):
        with disk_errors(path):
            lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(heads)]
        if len(kept) < len(lines):
            removed += len(lines) - len(kept)
            _write(path, b"".join(kept))
    return removed


def _rows_of(file: Path, videos: Mapping[str, list[Listed]]) -> Iterator[Row]:
    if not file.is_file():
        raise InputError("there is no such file", where=str(file), mend="correct the path")
    with disk_errors(file):
        content = file.read_bytes()
    # cut at line feeds only: JSON strings may hold any of the other characters that end a line somewhere
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield _row(line, videos, f"{file.name}:{number}", f"{file}:{number}")


def _row(line: bytes, videos: Mapping[str, list[Listed]], origin: str, where: str) -> Row:
    try:
        text = line.decode("utf-8")
        named = str(json.loads(text)["video"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"no task: {error}", where=where, mend='write {"video": ..., "kind": ..., ...}') from None
    found = videos.get(named) or videos.get(PurePath(named).stem, [])
    if len(found) > 1:
        ids = " or ".join(sorted(show("video", video.video) for video in found))
        raise InputError(f"{len(found)} videos are called {named!r}", where=f"{where}: video", mend=f"name it by its id: {ids}")
    if not found:
        raise InputError(
            f"there is no video {named!r} here", where=f"{where}: video", mend="ingest it first, or correct its name"
        )
    (video,) = found
    return Row(video.video, text, source=video.source, licence=video.licence, origin=origin)


def _write(path: Path, content: bytes) -> None:
    with writing(path) as file:
        file.write(content)
    sync_folder(path.parent)


def _files(workspace: Workspace) -> list[Path]:
    return sorted(_folder(workspace).glob("*.jsonl"))


def _folder(workspace: Workspace) -> Path:
    return workspace.inputs / "annotations"
