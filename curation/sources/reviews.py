"""Reviews: people's decisions on single samples, in `inputs/reviews/<name>.jsonl`. One fsynced line each, the last one counts.

A line keeps or rejects, or only comments. One that rejects a task for its gold may say what should be right instead.

Appending and rewriting hold the file's lock, so a run, a review and a takedown may happen at once. A line without its end was
never acknowledged: it is not read, and cut before the next one is written.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from dmforge.curation.io.atomic import disk_errors, make_folder, sync_folder, write_bytes
from dmforge.curation.io.line_files import append_lines, cut_torn_line, is_on_disk
from dmforge.curation.io.locations import sha256_of
from dmforge.curation.io.locks import lock, lock_file
from dmforge.curation.io.sealed_json import sealed, unsealed
from dmforge.curation.sources.takedowns import forgotten_videos
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest, read, show
from dmforge.schemas.looks import Window, print_span, read_span
from dmforge.schemas.record_fields import later
from dmforge.schemas.records import Record, SubjectKind

Decision = Literal["keep", "reject", "comment"]
FOLDER = "reviews"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""A reviewer's name: it names a file, on any disk."""
REASONS = ("wrong answer", "wrong window", "not what is seen", "bad question", "unsafe", "other", "wrong gold")
"""Reasons for rejecting: few and fixed, so that they can be counted. Details go into the note."""
MAX_NOTE_CHARS = 500
HINT = "correct the line, or delete it"


@dataclass(frozen=True, slots=True)
class Review(Record):
    """One reviewer's decision on one subject."""

    kind = "review"
    table = "reviews"

    video: Id
    """The video that the subject is about."""
    subject: Id
    """The row that was looked at."""
    subject_kind: SubjectKind
    """Whether that is a video, a task or a candidate."""
    reviewer: str
    """By whom."""
    decision: Decision
    """Whether it may stay."""
    reason: str
    """Of a rejection."""
    note: str
    """In the reviewer's own words."""
    gold_answer: str = later("", since=2)
    """What should be the right answer of the task; empty where nobody says so."""
    gold_windows: tuple[Window, ...] = later((), since=2)
    """Where it shows."""

    @property
    def gold(self) -> str:
        """The corrected gold for people: answer and windows; empty without one."""
        return ", ".join([*([repr(self.gold_answer)] if self.gold_answer else []), *map(print_span, self.gold_windows)])


@dataclass(frozen=True, slots=True)
class GoldEdit:
    """What should be right for a task."""

    answer: str = ""
    windows: tuple[Window, ...] = ()


def read_windows(spans: Iterable[str]) -> tuple[Window, ...]:
    """The windows of spans, `12.00 - 20.00`; a ValueError names the one that is none."""
    windows: list[Window] = []
    for span in spans:
        limits_cs = read_span(span)
        if limits_cs is None or limits_cs[0] >= limits_cs[1]:
            raise ValueError(f"{span[:40]!r} is no window: write 12.00 - 20.00, in seconds with two decimals")
        windows.append(Window(*limits_cs))
    return tuple(windows)


def checked_name(name: str, where: str) -> str:
    """A reviewer's name, if it can be one."""
    if NAME.fullmatch(name) is None:
        hint = "give up to 40 lower-case letters, digits, - and _, beginning with a letter or a digit"
        raise InputError(f"{name[:80]!r} is not a name for a reviewer", where=where, hint=hint)
    return name


def all_reviews(workspace: WorkspaceFolder) -> Iterator[Review]:
    """The reviews that count: of each reviewer's decisions on a subject the last."""
    for reviews_path in _review_paths(workspace):
        yield from reviews_of(reviews_path).values()


def reviews_of(path: Path) -> dict[Id, Review]:
    """One reviewer's decisions that count, by subject."""
    reviewer = checked_name(path.stem, str(path))
    review_by_subject: dict[Id, Review] = {}
    for line_number, review_line in enumerate(_lines(path), 1):
        review = _parse_review(review_line, reviewer, f"{path}:{line_number}")
        review_by_subject[review.subject] = review
    return review_by_subject


def source_version(workspace: WorkspaceFolder) -> str:
    """A digest of the contents of the files."""
    return digest(FOLDER, [[reviews_path.name, sha256_of(reviews_path)] for reviews_path in _review_paths(workspace)]).hex()


def review_path(workspace: WorkspaceFolder, reviewer: str) -> Path:
    """The file with a reviewer's decisions."""
    return workspace.inputs / FOLDER / f"{checked_name(reviewer, '--as')}.jsonl"


def append(workspace: WorkspaceFolder, review: Review) -> None:
    """Append a review to its reviewer's file. Once this returns, it is on the disk."""
    reviews_path = review_path(workspace, review.reviewer)
    review_values = {
        "subject": show(review.subject_kind, review.subject), "video": show("video", review.video),
        "decision": review.decision, "reason": review.reason, "note": review.note, **_gold_values(review),
    }  # fmt: skip
    review_line = (json.dumps(sealed(review_values)) + "\n").encode("ascii")
    with _locked_file(reviews_path) as file_descriptor:
        if review.video in forgotten_videos(workspace):  # a takedown writes it there first and comes for this file then
            raise InputError("its video was taken down", where=show("video", review.video), hint="review another one")
        append_lines(file_descriptor, cut_torn_line(file_descriptor), review_line)


def forget_reviews(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """Remove the decisions about some videos; how many there were."""
    removed_count = 0
    for reviews_path in _review_paths(workspace):
        with _locked_file(reviews_path) as file_descriptor:
            cut_torn_line(file_descriptor)  # half a line may be about one of them
            all_lines = _lines(reviews_path)
            kept_lines = _not_about(videos, reviews_path, all_lines)
            removed_count += len(all_lines) - len(kept_lines)
            kept_bytes = b"".join(kept_line + b"\n" for kept_line in kept_lines)
            if len(kept_bytes) < reviews_path.stat().st_size:  # also what a power cut left of a line may be about one
                write_bytes(reviews_path, kept_bytes)
    return removed_count


def count_reviews(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """How many decisions are about some videos."""
    lines_by_path = {reviews_path: _lines(reviews_path) for reviews_path in _review_paths(workspace)}
    return sum(
        len(review_lines) - len(_not_about(videos, reviews_path, review_lines))
        for reviews_path, review_lines in lines_by_path.items()
    )


def _not_about(videos: Collection[Id], reviews_path: Path, review_lines: list[bytes]) -> list[bytes]:
    """The lines of a file whose decision is not about one of these videos."""
    reviews = [
        _parse_review(review_line, "forgotten", f"{reviews_path}:{line_number}")
        for line_number, review_line in enumerate(review_lines, 1)
    ]
    return [review_line for review_line, review in zip(review_lines, reviews, strict=True) if review.video not in videos]


def _review_paths(workspace: WorkspaceFolder) -> list[Path]:
    return sorted((workspace.inputs / FOLDER).glob("*.jsonl"))


def _lines(path: Path) -> list[bytes]:
    with disk_errors(path):
        *complete_lines, _ = path.read_bytes().split(b"\n")
    return [line for line in complete_lines if is_on_disk(line)]


def _gold_values(review: Review) -> dict[str, Any]:
    """A corrected gold as it stands in a line; nothing where there is none."""
    if not review.gold:
        return {}
    return {"gold": {"answer": review.gold_answer, "windows": [print_span(window) for window in review.gold_windows]}}


def _parse_review(review_line: bytes, reviewer: str, where: str) -> Review:
    try:
        review_values = unsealed(json.loads(review_line))
        subject_kind, subject_id = read(review_values["subject"])
        decision, reason, review_note = (
            review_values["decision"],
            review_values.get("reason", ""),
            review_values.get("note", ""),
        )
        if decision not in get_args(Decision) or subject_kind not in ("task", "candidate"):
            raise ValueError("a decision is keep, reject or comment, of a task or a candidate")
        if not isinstance(reason, str) or not isinstance(review_note, str):
            raise TypeError("reason and note are texts")
        gold = _parse_gold(review_values.get("gold", {}))
        (reason + review_note + gold.answer).encode()  # JSON can hold halves of letters, and a row can't
        return Review(
            read(review_values["video"])[1], subject_id, cast("SubjectKind", subject_kind), reviewer, decision, reason,
            review_note, gold_answer=gold.answer, gold_windows=gold.windows,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        raise InputError(f"not a review: {error}", where=where, hint=HINT) from None


def _parse_gold(gold_values: dict[str, Any]) -> GoldEdit:
    answer, spans = gold_values.get("answer", ""), gold_values.get("windows", [])
    if not isinstance(answer, str) or not isinstance(spans, list):
        raise TypeError("gold is an answer and windows")
    return GoldEdit(answer, read_windows(str(span) for span in cast("list[object]", spans)))


@contextmanager
def _locked_file(path: Path) -> Generator[int]:
    """The file, locked against other writers. If it was replaced while waiting for the lock, the new one is opened."""
    with disk_errors(path):
        make_folder(path.parent)
        while True:
            with lock_file(path) as file_descriptor:
                lock(file_descriptor, fcntl.LOCK_EX, path)
                if path.exists() and os.fstat(file_descriptor).st_ino == path.stat().st_ino:
                    sync_folder(path.parent)
                    yield file_descriptor
                    return
