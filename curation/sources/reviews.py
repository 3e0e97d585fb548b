"""What people decided about single samples, in `inputs/reviews/<name>.jsonl`: one fsynced line a decision, the last one counts.

Whoever appends or rewrites holds the file's lock meanwhile, so a run, a review and a takedown may come at once. A line without
its end was never acknowledged: it is not read, and cut before the next one is written.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from dmforge.curation.atomic import disk_errors, make_folder, sync_folder, writing
from dmforge.curation.lake.forgotten import forgotten_videos
from dmforge.curation.locks import lock
from dmforge.curation.sources.places import sha256_of
from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest, read, show
from dmforge.schemas.records import Record, SubjectKind

Decision = Literal["keep", "reject"]
FOLDER = "reviews"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""What a reviewer may be called: it is the name of a file, on any disk."""
REASONS = ("wrong answer", "wrong window", "not what is seen", "bad question", "unsafe", "other")
"""Why people reject: few and fixed, so that they can be counted. What is particular is a note."""
MOST_NOTE = 500
MEND = "correct the line, or delete it"


@dataclass(frozen=True, slots=True)
class Review(Record):
    """What one reviewer says of one subject."""

    kind = "review"
    table = "reviews"

    video: Id
    subject: Id
    subject_kind: SubjectKind
    reviewer: str
    decision: Decision
    reason: str
    """Of a rejection."""
    note: str


def checked_name(name: str, where: str) -> str:
    """A reviewer's name, if it can be one."""
    if NAME.fullmatch(name) is None:
        mend = "give up to 40 lower-case letters, digits, - and _, beginning with a letter or a digit"
        raise InputError(f"no reviewer can be called {name[:80]!r}", where=where, mend=mend)
    return name


def all_reviews(workspace: Workspace) -> Iterator[Review]:
    """What counts now: of each reviewer's decisions on a subject the last."""
    for path in _files(workspace):
        yield from reviews_of(path).values()


def reviews_of(path: Path) -> dict[Id, Review]:
    """One reviewer's decisions that count, by subject."""
    reviewer = checked_name(path.stem, str(path))
    found: dict[Id, Review] = {}
    for number, line in enumerate(_lines(path), 1):
        review = _read(line, reviewer, f"{path}:{number}")
        found[review.subject] = review
    return found


def edition(workspace: Workspace) -> str:
    """What the files say."""
    return digest(FOLDER, [[path.name, sha256_of(path)] for path in _files(workspace)]).hex()


def place(workspace: Workspace, reviewer: str) -> Path:
    """Where a reviewer's decisions stand."""
    return workspace.inputs / FOLDER / f"{checked_name(reviewer, '--as')}.jsonl"


def append(workspace: Workspace, review: Review) -> None:
    """Write a decision down. Once this returns, it is on the disk."""
    path = place(workspace, review.reviewer)
    told = {
        "subject": show(review.subject_kind, review.subject), "video": show("video", review.video),
        "decision": review.decision, "reason": review.reason, "note": review.note,
    }  # fmt: skip
    line = (json.dumps(told) + "\n").encode("ascii")
    with _locked(path) as file:
        if review.video in forgotten_videos(workspace):  # a takedown writes it there first and comes for this file then
            raise InputError("its video was taken down", where=show("video", review.video), mend="review another one")
        end = _end_of_whole_lines(file)
        os.ftruncate(file, end)
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(file, line[written:], end + written)
            os.fsync(file)
        except OSError:
            os.ftruncate(file, end)  # half a line on a full disk must not join the next one
            raise


def forget_reviews(workspace: Workspace, videos: Collection[Id]) -> int:
    """Remove the decisions about some videos; how many there were."""
    removed = 0
    for path in _files(workspace):
        with _locked(path) as file:
            os.ftruncate(file, _end_of_whole_lines(file))  # half a line may be about one of them
            lines = _lines(path)
            reviews = [_read(line, "forgotten", f"{path}:{number}") for number, line in enumerate(lines, 1)]
            kept = [line for line, review in zip(lines, reviews, strict=True) if review.video not in videos]
            if len(kept) < len(lines):
                removed += len(lines) - len(kept)
                with writing(path) as out:
                    out.write(b"".join(line + b"\n" for line in kept))
                sync_folder(path.parent)
    return removed


def _files(workspace: Workspace) -> list[Path]:
    return sorted((workspace.inputs / FOLDER).glob("*.jsonl"))


def _lines(path: Path) -> list[bytes]:
    with disk_errors(path):
        *whole, _ = path.read_bytes().split(b"\n")
    return whole


def _read(line: bytes, reviewer: str, where: str) -> Review:
    try:
        told: dict[str, Any] = json.loads(line)
        kind, subject = read(told["subject"])
        decision, reason, note = told["decision"], told.get("reason", ""), told.get("note", "")
        if decision not in get_args(Decision) or kind not in ("task", "candidate"):
            raise ValueError("a decision is keep or reject, of a task or a candidate")
        if not isinstance(reason, str) or not isinstance(note, str):
            raise TypeError("reason and note are texts")
        (reason + note).encode()  # JSON can hold halves of letters, and a row can't
        video = read(told["video"])[1]
        return Review(video, subject, cast("SubjectKind", kind), reviewer, decision, reason, note)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        raise InputError(f"no review: {error}", where=where, mend=MEND) from None


@contextmanager
def _locked(path: Path) -> Generator[int]:
    """The file, while nobody else writes to it. One that was put in its place meanwhile is taken instead."""
    with disk_errors(path):
        make_folder(path.parent)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                lock(file, fcntl.LOCK_EX, path)
                if path.exists() and os.fstat(file).st_ino == path.stat().st_ino:
                    sync_folder(path.parent)
                    yield file
                    return
            finally:
                os.close(file)


def _end_of_whole_lines(file: int) -> int:
    end = os.fstat(file).st_size
    while end and os.pread(file, 1, end - 1) != b"\n":
        end -= 1
    return end
