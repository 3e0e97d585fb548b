"""The JSON document of a video in a shard: written and read here and nowhere else.

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
from dmforge.schemas.looks import MAX_CS, Look, Window, print_box, print_density, print_span, read_box, read_density, read_span
from dmforge.schemas.prompts import prompt
from dmforge.schemas.records import Candidate, Needs, Sample, Task, TaskKind, Video
from dmforge.schemas.transcript import Author, Piece, Transcript

HINT = "verify the shards; they are not what dmforge packs, or they were changed"


@dataclass(frozen=True, slots=True)
class ShardVideo:
    """A video as it is described in a shard."""

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
        """A video record for planning frames; fields that only the lake knows are left empty."""
        return Video(
            self.receipt.source_sha256, self.duration_cs, self.width, self.height, Fraction(0), "", 0, 0,
            source=self.source, licence=self.licence, terms=self.terms, namespace=self.namespace, source_id=self.source_id,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShardSample:
    """A sample with all that training needs."""

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
    """The first look of the target, and all of it where one is enough."""
    target_source: str
    transcript: Transcript
    """The transcript up to the answer; for a task, its prompt."""
    extras: str = ""
    """JSON that an export in the task's original format gives back."""
    further_targets: tuple[Look, ...] = ()
    """The other looks of a target that is a set."""

    @property
    def target_looks(self) -> tuple[Look, ...]:
        """All looks of the target; empty without one."""
        return () if self.target is None else (self.target, *self.further_targets)


LOOK_FIELDS = ("window", "fps", "box", "tokens")
"""The fields of a look; the last two are only where some look has either. Those of a target name each of its looks."""
SEPARATOR = ", "
"""Between the texts of several windows, or of several looks of a target."""
TEXT_FIELDS = {
    kind: [field.name for field in fields(kind) if field.type in ("str", "TaskKind", "Needs")]
    for kind in (ShardVideo, ShardSample, Receipt)
}
"""The names of the text fields of each record."""


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
        sample.further_targets,
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


def write_document(video: ShardVideo, samples: Sequence[ShardSample], *, with_limits: bool = False) -> bytes:
    """The document of a video and its samples. `with_limits`: looks have fields for boxes and quotas, as in all documents of a
    folder where one of them has either."""
    video_values = asdict(video)
    video_head = {"video": video_values.pop("video"), "duration_s": video_values.pop("duration_cs") / 100, **video_values}
    return json.dumps(
        {**video_head, "samples": [as_json(sample, with_limits=with_limits) for sample in samples]}, ensure_ascii=False
    ).encode()


def read_document(data: bytes, where: str) -> tuple[ShardVideo, list[ShardSample]]:
    """Parse a document into its video and samples; any failure is one error that names the place."""
    try:
        document_values: dict[str, Any] = json.loads(data)
        samples = [_read_sample(sample) for sample in document_values.pop("samples")]
        duration_cs, receipt = round(document_values.pop("duration_s") * 100), Receipt(**document_values.pop("receipt"))
        video = ShardVideo(duration_cs=duration_cs, receipt=receipt, **document_values)
        _require_texts(video, video.receipt, *samples)
        _require_lengths(video)
        return video, samples
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"not a document of samples: {type(error).__name__}: {error}", where=where, hint=HINT) from None


def _require_texts(*records: ShardVideo | ShardSample | Receipt) -> None:
    """Refuse records whose text fields hold anything else: a later reader would fail over them."""
    for checked_record in records:
        for field_name in TEXT_FIELDS[type(checked_record)]:
            if not isinstance(getattr(checked_record, field_name), str):
                raise TypeError(f"{field_name} is no text")


def _require_lengths(video: ShardVideo) -> None:
    width_and_height = (video.width, video.height)
    if not 0 <= video.duration_cs <= MAX_CS or not all(
        type(side_px) is int and 0 <= side_px < 1 << 20 for side_px in width_and_height
    ):
        raise ValueError("no video is so long or so large")


def has_limits(sample: ShardSample) -> bool:
    """Whether a look of a sample has a box or a token quota."""
    looks = [*sample.target_looks, *(piece.look for piece in sample.transcript.pieces)]
    return any(look is not None and look.has_limits for look in looks)


def as_json(sample: ShardSample, *, with_limits: bool = False) -> dict[str, Any]:
    """A sample as a document holds it."""
    target_looks = sample.target_looks
    limits = _limits_json("target_", *target_looks) if with_limits else {}
    return {
        "id": sample.id, "corpus": sample.corpus, "task": sample.task, "kind": sample.kind, "question": sample.question,
        "options": json.dumps(sample.options, ensure_ascii=False), "gold": sample.gold,
        "windows": SEPARATOR.join(map(print_span, sample.windows)), "needs": sample.needs, "candidate": sample.candidate,
        "teacher": sample.teacher, "window_source": sample.window_source, "answer": sample.answer,
        "target_window": SEPARATOR.join(print_span(look.window) for look in target_looks),
        "target_fps": SEPARATOR.join(print_density(look.fps) for look in target_looks),
        **limits, "target_source": sample.target_source, "extras": sample.extras,
        "pieces": [
            _piece_json(piece) | (_limits_json("", *_looks_of(piece)) if with_limits else {})
            for piece in sample.transcript.pieces
        ],
    }  # fmt: skip


def _read_sample(sample_values: dict[str, Any]) -> ShardSample:
    transcript_pieces = tuple(_read_piece(piece_values) for piece_values in sample_values.pop("pieces"))
    target_looks = _target_looks(*(sample_values.pop(f"target_{name}", "") for name in LOOK_FIELDS))
    option_texts, windows_text = tuple(map(str, json.loads(sample_values.pop("options")))), sample_values.pop("windows")
    return ShardSample(
        options=option_texts,
        windows=tuple(_window(span_text) for span_text in windows_text.split(SEPARATOR) if span_text),
        target=target_looks[0] if target_looks else None,
        further_targets=target_looks[1:],
        transcript=Transcript(transcript_pieces),
        **sample_values,
    )


def _piece_json(piece: Piece) -> dict[str, str]:
    look = piece.look
    return {
        "author": piece.author,
        "kind": "text" if not piece.is_clip else "coarse" if look is None else "look",
        "text": piece.text or "",
        "window": print_span(look.window) if look else "",
        "fps": print_density(look.fps) if look else "",
    }


def _looks_of(piece: Piece) -> tuple[Look, ...]:
    return (piece.look,) if piece.look else ()


def _read_piece(piece_values: dict[str, str]) -> Piece:
    author: Author = piece_values["author"]  # pyright: ignore[reportAssignmentType] (a piece checks who may show what)
    if piece_values["kind"] == "text":
        if not isinstance(piece_values["text"], str):  # pyright: ignore[reportUnnecessaryIsInstance] (it is as a stranger wrote it)
            raise TypeError("text is no text")
        return Piece(author, piece_values["text"])
    return Piece(author, None, _look(*(piece_values.get(name, "") for name in LOOK_FIELDS)))


def _limits_json(prefix: str, *looks: Look) -> dict[str, str]:
    limits = {
        "box": [print_box(look.box) if look.box else "" for look in looks],
        "tokens": [str(look.tokens) if look.tokens else "" for look in looks],
    }
    # without any of a kind the text is empty
    return {f"{prefix}{name}": SEPARATOR.join(texts) if any(texts) else "" for name, texts in limits.items()}


def _target_looks(*field_texts: str) -> tuple[Look, ...]:
    """The looks of a target. Each text has one of its fields, of all looks, or is empty where none has a box or a quota."""
    look_count = len(field_texts[0].split(SEPARATOR))
    texts_by_field = [field_text.split(SEPARATOR) if field_text else [""] * look_count for field_text in field_texts]
    looks = [_look(*look_texts) for look_texts in zip(*texts_by_field, strict=True)]
    if len(looks) > 1 and None in looks:
        raise ValueError(f"{field_texts[0]!r} has an empty window")
    return tuple(filter(None, looks))


def _look(span_text: str, density_text: str, box_text: str, tokens_text: str) -> Look | None:
    if not span_text:
        return None
    box, tokens = read_box(box_text), int(tokens_text) if tokens_text.isdecimal() else None
    if (box_text and box is None) or (tokens_text and str(tokens) != tokens_text):
        raise ValueError(f"{box_text!r} is no box, or {tokens_text!r} no number of tokens")
    return Look(_window(span_text), _density(density_text), box, tokens)


def _window(span_text: str) -> Window:
    bounds_cs = read_span(span_text)
    if bounds_cs is None:
        raise ValueError(f"{span_text!r} is no window")
    return Window(*bounds_cs)


def _density(density_text: str) -> Fraction:
    fps = read_density(density_text)
    if fps is None:
        raise ValueError(f"{density_text!r} is no density")
    return fps
