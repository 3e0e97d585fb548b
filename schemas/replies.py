"""What a teacher sends back, as it must look: the two replies that become a candidate, and their JSON schemas."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dmforge.schemas.looks import Look, Window

MAX_FPS = 1000
"""Densities from 1/1000 to 1000, with no larger denominator: both parts of such a fraction are small enough for a look."""

MAX_CHARS = 100_000
"""Longer replies are not looked at: a number with so many digits would take its time."""

R = TypeVar("R", bound="Reply")
Seconds = Annotated[Decimal, Field(ge=0, le=9_999_999)]


class Reply(BaseModel):
    """A JSON object with exactly these fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
    name: ClassVar[str]

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """For a server that can be held to a schema."""
        properties: dict[str, Any] = {}
        for name, info in cls.model_fields.items():
            kind = "string" if info.annotation is str else "number"
            properties[name] = {"type": kind, "description": info.description}
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


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
    """The first reply where the window is not the teacher's to choose: how one comes to look there."""

    name = "given"

    thought: str
    """What the frames show so far, and why the question must be settled in that window."""
    fps: Annotated[Decimal, Field(ge=Decimal("0.001"), le=MAX_FPS)]
    """How densely to look at it, in frames per second."""

    def density(self) -> Fraction:
        return Fraction(self.fps).limit_denominator(MAX_FPS)


class AnswerReply(Reply):
    """The second reply: what the closer look shows, and the answer."""

    name = "answer"

    thought: str
    """What the closer look shows, and what follows from it."""
    answer: str
    """The answer alone."""


REPLIES: dict[str, type[Reply]] = {reply.name: reply for reply in (LookReply, AnswerReply, GivenReply)}


def read_reply(kind: type[R], text: str) -> R | str:
    """The reply that a text holds, prose around its JSON or not; else, in one line, why it holds none."""
    if len(text) > MAX_CHARS:
        return f"it is longer than {MAX_CHARS} characters"
    begin, end = text.find("{"), text.rfind("}")
    if not 0 <= begin < end:
        return "it holds no JSON object"
    try:
        return kind.model_validate(json.loads(text[begin : end + 1], parse_float=Decimal))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, fault['loc'])) or 'reply'}: {fault['msg'].lower()}"
    except (ValueError, RecursionError) as error:
        return f"its JSON is broken: {str(error).partition(':')[0].lower()}"
