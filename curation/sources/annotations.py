"""The annotations of a workspace: every question that was brought, in `inputs/annotations/`, beside the id of its video.

Names are resolved once, when a file is brought: what is brought later can't make a name mean something else. The same file
brought again takes the place of what it said before, so what was missing then is looked for again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dmforge.curation.atomic import disk_errors, sync_folder, writing
from dmforge.curation.sources.claims import Claims
from dmforge.curation.sources.contract import Format, Question, Refused
from dmforge.curation.sources.places import sha256_of
from dmforge.curation.sources.reading import Placed
from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest, read, show
from dmforge.schemas.records import Record, aside

MISSING = "missing file"
AMBIGUOUS = "several files of this name"
CLAIMED = ("source", "licence", "terms", "namespace", "split")
ANNOTATIONS = "annotations"
"""The folder under `inputs/`; benchmarks have one of their own."""
Find = Callable[[str], Id | str]
"""The video that a name means, or why none: `MISSING`, `AMBIGUOUS`."""


@dataclass(frozen=True, slots=True)
class Row(Record):
    """A question of an annotation file."""

    kind = "row"
    table = "rows"

    video: Id
    """Where none was found, an id that no video has."""
    said: str
    """The question as JSON, or why there is none."""
    source: str
    licence: str
    terms: str
    namespace: str
    split: str
    origin: str = aside("")
    """The file and the row in it."""


@dataclass(frozen=True, slots=True)
class Brought:
    """Files of one format that were brought together."""

    form: Format
    files: tuple[Path, ...]
    folder: str = ANNOTATIONS

    def path(self, workspace: Workspace) -> Path:
        """Where what they say is written down: by what they are."""
        name = digest("brought", [self.form.name, [sha256_of(file) for file in self.files]]).hex()
        return workspace.inputs / self.folder / f"{name}.jsonl"


def take_in(workspace: Workspace, brought: Brought, placed: Iterator[Placed], find: Find | None, claims: Claims) -> None:
    """Write down what files ask, all of it or nothing. Without `find`, no video is looked for."""
    path = brought.path(workspace)
    with writing(path) as file:
        common = {name: getattr(claims, name) for name in CLAIMED}
        file.write((json.dumps(common) + "\n").encode())
        for chunk in _chunks(placed):
            file.write("".join(_line(one, find) for one in chunk).encode("ascii"))
    sync_folder(path.parent)


def all_rows(workspace: Workspace, folder: str = ANNOTATIONS) -> Iterator[Row]:
    """Everything that was taken in."""
    for path in _files(workspace, folder):
        with disk_errors(path), path.open("rb") as lines:
            common = _told(next(lines, b"{}"), f"{path}:1")
            for number, line in enumerate(lines, 2):
                video, origin, said = _parts(line, f"{path}:{number}")
                yield Row(video, said, origin=origin, **common)


def rows_of(workspace: Workspace, brought: Brought) -> list[Id]:
    """The rows that some files gave when they were taken in."""
    path = brought.path(workspace)
    with disk_errors(path), path.open("rb") as lines:
        common = _told(next(lines, b"{}"), f"{path}:1")
        found = (_parts(line, f"{path}:{number}") for number, line in enumerate(lines, 2))
        return [Row(video, said, origin=origin, **common).id for video, origin, said in found]


def edition(workspace: Workspace, folder: str = ANNOTATIONS) -> str:
    """What the files say."""
    return digest(folder, [[path.name, sha256_of(path)] for path in _files(workspace, folder)]).hex()


def forget_lines(workspace: Workspace, videos: Collection[Id]) -> int:
    """Remove the questions about some videos; how many there were."""
    heads = tuple(f'["{show("video", video)}", '.encode() for video in videos)
    removed = 0
    for path in _files(workspace, ANNOTATIONS):
        with disk_errors(path):
            lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(heads)]
        if len(kept) < len(lines):
            removed += len(lines) - len(kept)
            with writing(path) as file:
                file.write(b"".join(kept))
            sync_folder(path.parent)
    return removed


def take_over_files(workspace: Workspace, other: Workspace) -> int:
    """What another workspace took in, benchmarks too; of a file that both took in, the videos that were found there.

    How many files were new.
    """
    new = 0
    for theirs in sorted(other.inputs.glob("*/*.jsonl")):
        ours = workspace.inputs / theirs.relative_to(other.inputs)
        with disk_errors(theirs):
            found = theirs.read_bytes()
        if ours.exists():
            before = ours.read_bytes()
            found = before if ours.parent.name != ANNOTATIONS else _with_found(before, found, str(ours))
            if found == before:
                continue
        else:
            new += 1
        with writing(ours) as file:
            file.write(found)
        sync_folder(ours.parent)
    return new


def _with_found(ours: bytes, theirs: bytes, where: str) -> bytes:
    """Our lines, and theirs in place of those whose video we don't have."""
    head, *lines = ours.splitlines(keepends=True)
    there = {_parts(line, where)[1]: line for line in theirs.splitlines(keepends=True)[1:]}

    def better(line: bytes) -> bytes:
        _, origin, said = _parts(line, where)
        return there.get(origin, line) if json.loads(said).get("reason") == MISSING else line

    return b"".join([head, *map(better, lines)])


def question(said: str) -> Question | Refused:
    """What a row says."""
    told: dict[str, Any] = json.loads(said)
    if "reason" in told:
        return Refused(told["video"], told["reason"])
    windows = tuple((start, end) for start, end in told.pop("windows", ()))
    lists = {name: tuple(told.pop(name, ())) for name in ("options", "flags")}
    return Question(windows=windows, **lists, **told)


def _line(one: Placed, find: Find | None) -> str:
    asked = one.asked
    if isinstance(asked, Refused):
        # with its place: what can't be told apart otherwise is counted nevertheless
        found, said = None, {"video": asked.video, "reason": asked.reason, "row": one.origin}
    else:
        found = find(asked.video) if find else None
        said = _said(asked) | ({"reason": found} if isinstance(found, str) else {})
    video = _shown(found) if isinstance(found, bytes) else show("video", digest("no video", asked.video))
    return json.dumps([video, one.origin, json.dumps(said)]) + "\n"


def _said(asked: Question) -> dict[str, Any]:
    """What differs from the defaults."""
    told: dict[str, Any] = {"video": asked.video, "kind": asked.kind, "question": asked.question}
    for name in ("answer", "options", "windows", "duration_s", "flags", "reply", "fps", "extras"):
        value = getattr(asked, name)
        if value not in ("", (), None, {}):
            told[name] = value
    if asked.needs != "any":
        told["needs"] = asked.needs
    return told


def _parts(line: bytes, where: str) -> tuple[Id, str, str]:
    try:
        video, origin, said = json.loads(line)
        if not isinstance(origin, str) or not isinstance(said, str):
            raise TypeError("three texts are wanted")
        return _read_id(video), origin, said
    except (ValueError, TypeError, AttributeError, RecursionError, InputError) as error:
        mend = "delete the file, and import the annotations again"
        raise InputError(f"no annotation: {error}", where=where, mend=mend) from None


@lru_cache(1 << 16)  # many questions are about one video
def _shown(video: Id) -> str:
    return show("video", video)


@lru_cache(1 << 16)
def _read_id(video: str) -> Id:
    return read(video)[1]


def _told(line: bytes, where: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
        return {name: str(told[name]) for name in CLAIMED}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        mend = "delete the file, and import the annotations again"
        raise InputError(f"no annotations: {error}", where=where, mend=mend) from None


def _chunks(placed: Iterator[Placed]) -> Iterator[list[Placed]]:
    chunk: list[Placed] = []
    for one in placed:
        chunk.append(one)
        if len(chunk) == 10_000:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _files(workspace: Workspace, folder: str) -> list[Path]:
    return sorted((workspace.inputs / folder).glob("*.jsonl"))
