"""What is said about a video in a shard: one JSON document, written and read back here and nowhere else.

Readers of WebDatasets take the schema from the first documents that they see. So every field is always there, none is null, no
list is empty, what may be a float is never an int: what may be missing is an empty text, and exact numbers are texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any

from dmforge.curation.video.media import Receipt
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import show
from dmforge.schemas.looks import MAX_CS, Look, Window, print_density, print_span, read_density, read_span
from dmforge.schemas.prompts import prompt
from dmforge.schemas.records import Candidate, Needs, Sample, Task, TaskKind, Video
from dmforge.schemas.transcript import Author, Piece, Transcript

MEND = "verify the shards; they are not what dmforge packs, or they were changed"


@dataclass(frozen=True, slots=True)
class ShardVideo:
    """A video as a shard knows it."""

    video: str
    duration_cs: int
    width: int
    height: int
    source: str
    licence: str
    terms: str
    namespace: str
    source_id: str
    receipt: Receipt

    def as_record(self) -> Video:
        """As those know it who plan frames; what only the lake knows is left open."""
        return Video(
            self.receipt.source_sha256, self.duration_cs, self.width, self.height, Fraction(0), "", 0, 0,
            source=self.source, licence=self.licence, terms=self.terms, namespace=self.namespace, source_id=self.source_id,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShardSample:
    """A sample with all that its training needs to know."""

    id: str
    corpus: str
    task: str
    kind: TaskKind
    question: str
    options: tuple[str, ...]
    gold: str
    windows: tuple[Window, ...]
    needs: Needs
    candidate: str
    """Empty where the sample is a task and not a trajectory."""
    teacher: str
    window_source: str
    answer: str
    target: Look | None
    target_source: str
    transcript: Transcript
    """Up to the answer; of a task its prompt."""
    extras: str = ""
    """What an export in the format that the task came in gives back: JSON."""


TEXTS = {
    kind: [field.name for field in fields(kind) if field.type in ("str", "TaskKind", "Needs")]
    for kind in (ShardVideo, ShardSample, Receipt)
}
"""The fields of each that are texts."""


def sample_of(sample: Sample, task: Task, candidate: Candidate | None) -> ShardSample:
    """A sample from the rows of the lake."""
    return ShardSample(
        str(sample),
        sample.corpus,
        str(task),
        task.task_kind,
        task.question,
        task.options,
        task.answer,
        task.windows,
        task.needs,
        show("candidate", candidate.id) if candidate else "",
        candidate.teacher if candidate else "",
        candidate.window_source if candidate else "",
        candidate.answer if candidate else "",
        sample.target,
        sample.target_source or "",
        candidate.transcript if candidate else Transcript(prompt(task)),
        task.extras,
    )


def video_of(video: Video, receipt: Receipt) -> ShardVideo:
    """A video from its row of the lake."""
    return ShardVideo(
        str(video),
        video.duration_cs,
        video.width,
        video.height,
        video.source,
        video.licence,
        video.terms,
        video.namespace,
        video.source_id,
        receipt,
    )


def write_document(video: ShardVideo, samples: Sequence[ShardSample]) -> bytes:
    """The document of a video and its samples."""
    content = asdict(video)
    told = {"video": content.pop("video"), "duration_s": content.pop("duration_cs") / 100, **content}
    return json.dumps({**told, "samples": [as_json(sample) for sample in samples]}, ensure_ascii=False).encode()


def read_document(data: bytes, where: str) -> tuple[ShardVideo, list[ShardSample]]:
    """A video and its samples; or one error that names the place."""
    try:
        content: dict[str, Any] = json.loads(data)
        samples = [_read(sample) for sample in content.pop("samples")]
        duration_cs, receipt = round(content.pop("duration_s") * 100), Receipt(**content.pop("receipt"))
        video = ShardVideo(duration_cs=duration_cs, receipt=receipt, **content)
        _require_texts(video, video.receipt, *samples)
        _require_lengths(video)
        return video, samples
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"not a document of samples: {type(error).__name__}: {error}", where=where, mend=MEND) from None


def _require_texts(*told: ShardVideo | ShardSample | Receipt) -> None:
    """What is said to be a text is one: else the first who reads it would fail over it."""
    for one in told:
        for name in TEXTS[type(one)]:
            if not isinstance(getattr(one, name), str):
                raise TypeError(f"{name} is no text")


def _require_lengths(video: ShardVideo) -> None:
    sizes = (video.width, video.height)
    if not 0 <= video.duration_cs <= MAX_CS or not all(type(size) is int and 0 <= size < 1 << 20 for size in sizes):
        raise ValueError("no video is so long or so large")


def as_json(sample: ShardSample) -> dict[str, Any]:
    """A sample as a document holds it."""
    return {
        "id": sample.id, "corpus": sample.corpus, "task": sample.task, "kind": sample.kind, "question": sample.question,
        "options": json.dumps(sample.options, ensure_ascii=False), "gold": sample.gold,
        "windows": ", ".join(map(print_span, sample.windows)), "needs": sample.needs, "candidate": sample.candidate,
        "teacher": sample.teacher, "window_source": sample.window_source, "answer": sample.answer,
        "target_window": print_span(sample.target.window) if sample.target else "",
        "target_fps": print_density(sample.target.fps) if sample.target else "",
        "target_source": sample.target_source, "extras": sample.extras,
        "pieces": [_written_piece(piece) for piece in sample.transcript.pieces],
    }  # fmt: skip


def _read(told: dict[str, Any]) -> ShardSample:
    pieces = tuple(_read_piece(piece) for piece in told.pop("pieces"))
    target = _look(told.pop("target_window"), told.pop("target_fps"))
    options, windows = tuple(map(str, json.loads(told.pop("options")))), told.pop("windows")
    return ShardSample(
        options=options,
        windows=tuple(_window(span) for span in windows.split(", ") if span),
        target=target,
        transcript=Transcript(pieces),
        **told,
    )


def _written_piece(piece: Piece) -> dict[str, str]:
    look = piece.look
    return {
        "author": piece.author,
        "kind": "text" if not piece.is_clip else "coarse" if look is None else "look",
        "text": piece.text or "",
        "window": print_span(look.window) if look else "",
        "fps": print_density(look.fps) if look else "",
    }


def _read_piece(told: dict[str, str]) -> Piece:
    author: Author = told["author"]  # pyright: ignore[reportAssignmentType] (a piece checks who may show what)
    if told["kind"] == "text":
        if not isinstance(told["text"], str):  # pyright: ignore[reportUnnecessaryIsInstance] (it is as a stranger wrote it)
            raise TypeError("text is no text")
        return Piece(author, told["text"])
    return Piece(author, None, _look(told["window"], told["fps"]))


def _look(span: str, density: str) -> Look | None:
    return Look(_window(span), _density(density)) if span else None


def _window(span: str) -> Window:
    bounds = read_span(span)
    if bounds is None:
        raise ValueError(f"{span!r} is no window")
    return Window(*bounds)


def _density(text: str) -> Fraction:
    fps = read_density(text)
    if fps is None:
        raise ValueError(f"{text!r} is no density")
    return fps
