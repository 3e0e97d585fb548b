"""The replies that a teacher may send: the fields of each kind, and its JSON schema."""

from __future__ import annotations

import typing
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from dmforge.schemas.looks import Look, Window

MAX_FPS = 1000
"""Densities from 1/1000 to 1000, with no larger denominator: both parts of such a fraction are small enough for a look."""

Seconds = Annotated[Decimal, Field(ge=0, le=9_999_999)]


class ReplyObject(BaseModel):
    """A JSON object with these fields. Read as models write: fields beside these are passed over, and a number will do for a
    text, as a number's text does for a number."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, coerce_numbers_to_str=True,
        defer_build=True,  # the validator of a kind is built at its first reply
    )  # fmt: skip

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON schema of such an object, for servers that decode under a schema."""
        schema_by_field: dict[str, Any] = {}
        for field_name, field_info in cls.model_fields.items():
            description = {"description": field_info.description} if field_info.description else {}
            schema_by_field[field_name] = _schema(field_info.annotation) | description
        return {
            "type": "object",
            "properties": schema_by_field,
            "required": list(schema_by_field),
            "additionalProperties": False,
        }


def _schema(annotation: Any) -> dict[str, Any]:
    """The JSON schema of an annotation: texts, choices, numbers, objects, and lists of these."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0])}
    if origin is Literal:
        return {"type": "string", "enum": list(args)}
    if isinstance(annotation, type) and issubclass(annotation, ReplyObject):
        return annotation.json_schema()
    return {"type": "string" if annotation is str else "number"}


class Reply(ReplyObject):
    """A whole reply of a teacher."""

    name: ClassVar[str]


class LookReply(Reply):
    """The first reply: what the coarse clip shows, and where to look closer."""

    name = "look"

    thought: str
    """What the frames show so far, and why this window at this density should settle the question."""
    start_s: Seconds
    """Where the window begins, in seconds."""
    end_s: Seconds
    """Where the window ends, in seconds."""
    fps: Annotated[Decimal, Field(ge=Decimal("0.001"), le=MAX_FPS)]
    """How densely to look at it, in frames per second."""

    def look(self) -> Look | None:
        """The look that was asked for, to the centisecond; None where no window is left."""
        start_cs, end_cs = round(self.start_s * 100), round(self.end_s * 100)
        if start_cs >= end_cs:
            return None
        return Look(Window(start_cs, end_cs), Fraction(self.fps).limit_denominator(MAX_FPS))


class GivenReply(Reply):
    """The first reply where the window is given: why one looks there, and at which density."""

    name = "given"

    thought: str
    """What the frames show so far, and why the question must be settled in that window."""
    fps: Annotated[Decimal, Field(ge=Decimal("0.001"), le=MAX_FPS)]
    """How densely to look at it, in frames per second."""

    def density(self) -> Fraction:
        return Fraction(self.fps).limit_denominator(MAX_FPS)


class FirstReply(LookReply):
    """The first reply of a teacher that may look several times: what the coarse clip shows, and where to look first."""

    name = "first"


class AnswerReply(Reply):
    """The second reply: what the closer look shows, and the answer."""

    name = "answer"

    thought: str
    """What the closer look shows, and what follows from it."""
    answer: str
    """The answer alone."""


class FinalReply(AnswerReply):
    """The last reply of a teacher that may look no more: what its closer looks show together, and the answer."""

    name = "final"


class Span(ReplyObject):
    """A stretch of a video, in seconds."""

    start_s: Seconds
    """Where it begins, in seconds."""
    end_s: Seconds
    """Where it ends, in seconds."""

    def window(self) -> Window | None:
        """To the centisecond; None where nothing is left."""
        start_cs, end_cs = round(self.start_s * 100), round(self.end_s * 100)
        return Window(start_cs, end_cs) if start_cs < end_cs else None


class FurtherLook(Span):
    """A look that a teacher asks for after others."""

    fps: Annotated[Decimal, Field(ge=Decimal("0.001"), le=MAX_FPS)]
    """How densely to look at it, in frames per second."""

    def look(self) -> Look | None:
        """The look that was asked for, to the centisecond; None where no window is left."""
        window = self.window()
        return None if window is None else Look(window, Fraction(self.fps).limit_denominator(MAX_FPS))


class StepReply(Reply):
    """A reply of a teacher that may look again: what the closer looks show so far, and the next look or the answer."""

    name = "step"

    thought: str
    """What the closer looks show, what follows from it, and what is still open."""
    looks: tuple[FurtherLook, ...]
    """The one next look where the question isn't settled yet; else nothing."""
    answer: str
    """The answer alone; empty where there is a next look."""


class Happening(Span):
    """One thing that frames show."""

    what: str
    """One sentence: who or what does or is what."""


class DescribeReply(Reply):
    """What the frames of a part of a video show."""

    name = "describe"

    events: tuple[Happening, ...]
    """In their order; what lasts and what happens meanwhile are events of their own."""


QuestionType = Literal["object", "action", "order", "count", "duration", "state", "cause", "comparison"]
Form = Literal["open", "mcq", "grounded"]
Difficulty = Literal["easy", "medium", "hard"]


class Written(ReplyObject):
    """A question that a teacher wrote, with its answer and where it shows."""

    type: QuestionType
    """What it is about, as listed."""
    form: Form
    """`open`: a short text. `mcq`: one of the options. `grounded`: when something happens."""
    question: str
    """The question alone, without its options."""
    options: tuple[str, ...]
    """For `mcq` the options without letters, else none."""
    answer: str
    """For `mcq` the text of the right option; for `grounded` a span such as `3.00 - 7.50`; else a few words."""
    windows: tuple[Span, ...]
    """Where the answer is to be seen."""
    needs: Literal["any", "all"]
    """Whether any of the windows shows it, or only all of them together."""
    difficulty: Difficulty
    """How hard it is for someone who sees the video."""
    fps: Annotated[Decimal, Field(ge=Decimal("0.001"), le=MAX_FPS)]
    """The lowest density, in frames per second, at which the windows still show the answer."""


class WriteReply(Reply):
    """Questions about a video."""

    name = "write"

    questions: tuple[Written, ...]
    """One for each that was asked for and that the video can bear."""


class GuessReply(Reply):
    """An answer from the text of a question alone."""

    name = "guess"

    thought: str
    """What makes this answer the likeliest."""
    answer: str
    """The answer alone."""


class PresentReply(Reply):
    """Whether a video shows what a question is about."""

    name = "present"

    thought: str
    """What in these frames would answer the question, or that nothing would."""
    answer: Literal["yes", "no"]
    """Whether the question could be answered from this video."""


class SafetyReply(Reply):
    """Whether a text is fit to train on."""

    name = "safety"

    quote: str
    """The worst of what is unfit, word for word; empty where nothing is."""
    safety: Annotated[float, Field(ge=0, le=1)]
    """1 where nobody would object, 0 where the text must not be used."""


KINDS = (
    LookReply, AnswerReply, GivenReply, DescribeReply, WriteReply, GuessReply, PresentReply, SafetyReply,
    FirstReply, StepReply, FinalReply,
)  # fmt: skip
REPLIES: dict[str, type[Reply]] = {reply.name: reply for reply in KINDS}
