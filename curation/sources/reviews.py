"""Reviews: people's decisions on single samples, in `inputs/reviews/<name>.jsonl`. One fsynced line each, the last one counts.

Appending and rewriting hold the file's lock, so a run, a review and a takedown may happen at once. A line without its end was
never acknowledged: it is not read, and cut before the next one is written.
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

from dmforge.curation.io.atomic import disk_errors, make_folder, sync_folder, write_bytes
from dmforge.curation.io.line_files import append_lines, cut_torn_line
from dmforge.curation.io.locations import sha256_of
from dmforge.curation.io.locks import lock, lock_file
from dmforge.curation.sources.takedowns import forgotten_videos
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest, read, show
from dmforge.schemas.records import Record, SubjectKind

Decision = Literal["keep", "reject"]
FOLDER = "reviews"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""A reviewer's name: it names a file, on any disk."""
REASONS = ("wrong answer", "wrong window", "not what is seen", "bad question", "unsafe", "other")
"""Reasons for rejecting: few and fixed, so that they can be counted. Details go into the note."""
MAX_NOTE_CHARS = 500
HINT = "correct the line, or delete it"


@dataclass(frozen=True, slots=True)
class Review(Record):
    """One reviewer's decision on one subject."""

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
        hint = "give up to 40 lower-case letters, digits, - and _, beginning with a letter or a digit"
        raise InputError(f"{name[:80]!r} is not a name for a reviewer", where=where, hint=hint)
    return name


def all_reviews(workspace: WorkspaceFolder) -> Iterator[Review]:
    """The reviews that count: of each reviewer's decisions on a subject the last."""
    for path in _review_paths(workspace):
        yield from reviews_of(path).values()


def reviews_of(path: Path) -> dict[Id, Review]:
    """One reviewer's decisions that count, by subject."""
    reviewer = checked_name(path.stem, str(path))
    reviews: dict[Id, Review] = {}
    for line_number, line in enumerate(_lines(path), 1):
        review = _parse_review(line, reviewer, f"{path}:{line_number}")
        reviews[review.subject] = review
    return reviews


def source_version(workspace: WorkspaceFolder) -> str:
    """A digest of the contents of the files."""
    return digest(FOLDER, [[path.name, sha256_of(path)] for path in _review_paths(workspace)]).hex()


def review_path(workspace: WorkspaceFolder, reviewer: str) -> Path:
    """The file with a reviewer's decisions."""
    return workspace.inputs / FOLDER / f"{checked_name(reviewer, '--as')}.jsonl"


def append(workspace: WorkspaceFolder, review: Review) -> None:
    """Append a review to its reviewer's file. Once this returns, it is on the disk."""
    path = review_path(workspace, review.reviewer)
    payload = {
        "subject": show(review.subject_kind, review.subject), "video": show("video", review.video),
        "decision": review.decision, "reason": review.reason, "note": review.note,
    }  # fmt: skip
    line = (json.dumps(payload) + "\n").encode("ascii")
    with _locked_file(path) as file:
        if review.video in forgotten_videos(workspace):  # a takedown writes it there first and comes for this file then
            raise InputError("its video was taken down", where=show("video", review.video), hint="review another one")
        append_lines(file, cut_torn_line(file), line)


def forget_reviews(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """Remove the decisions about some videos; how many there were."""
    removed = 0
    for path in _review_paths(workspace):
        with _locked_file(path) as file:
            cut_torn_line(file)  # half a line may be about one of them
            lines = _lines(path)
            kept_lines = _not_about(videos, path, lines)
            if len(kept_lines) < len(lines):
                removed += len(lines) - len(kept_lines)
                write_bytes(path, b"".join(line + b"\n" for line in kept_lines))
    return removed


def count_reviews(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """How many decisions are about some videos."""
    lines_by_path = {path: _lines(path) for path in _review_paths(workspace)}
    return sum(len(lines) - len(_not_about(videos, path, lines)) for path, lines in lines_by_path.items())


def _not_about(videos: Collection[Id], path: Path, lines: list[bytes]) -> list[bytes]:
    """The lines of a file whose decision is not about one of these videos."""
    reviews = [_parse_review(line, "forgotten", f"{path}:{line_number}") for line_number, line in enumerate(lines, 1)]
    return [line for line, review in zip(lines, reviews, strict=True) if review.video not in videos]


def _review_paths(workspace: WorkspaceFolder) -> list[Path]:
    return sorted((workspace.inputs / FOLDER).glob("*.jsonl"))


def _lines(path: Path) -> list[bytes]:
    with disk_errors(path):
        *complete_lines, _ = path.read_bytes().split(b"\n")
    return complete_lines


def _parse_review(line: bytes, reviewer: str, where: str) -> Review:
    try:
        payload: dict[str, Any] = json.loads(line)
        kind, subject = read(payload["subject"])
        decision, reason, note = payload["decision"], payload.get("reason", ""), payload.get("note", "")
        if decision not in get_args(Decision) or kind not in ("task", "candidate"):
            raise ValueError("a decision is keep or reject, of a task or a candidate")
        if not isinstance(reason, str) or not isinstance(note, str):
            raise TypeError("reason and note are texts")
        (reason + note).encode()  # JSON can hold halves of letters, and a row can't
        video = read(payload["video"])[1]
        return Review(video, subject, cast("SubjectKind", kind), reviewer, decision, reason, note)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        raise InputError(f"not a review: {error}", where=where, hint=HINT) from None


@contextmanager
def _locked_file(path: Path) -> Generator[int]:
    """The file, locked against other writers. If it was replaced while waiting for the lock, the new one is opened."""
    with disk_errors(path):
        make_folder(path.parent)
        while True:
            with lock_file(path) as file:
                lock(file, fcntl.LOCK_EX, path)
                if path.exists() and os.fstat(file).st_ino == path.stat().st_ino:
                    sync_folder(path.parent)
                    yield file
                    return
