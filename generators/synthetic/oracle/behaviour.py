"""Settings of how an oracle misbehaves: what it doesn't know, which defects it plants, how its server fails.

All of it follows from the request, so that the same request has the same result whenever it comes; only a failure of the server
also depends on how often it was asked, and passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from random import Random
from typing import Annotated

from pydantic import Field, NonNegativeFloat, field_validator

from dmforge.generators.synthetic.oracle.habits import Habits
from dmforge.generators.synthetic.oracle.planted_defects import ANSWER_DEFECTS, LOOK_DEFECTS
from dmforge.generators.synthetic.oracle.step_defects import STEP_DEFECTS
from dmforge.schemas.config import Config, nearest

SERVER_FAULTS = ("429", "429_hint", "500", "hang", "cut")
"""Failures without an answer: too many requests, with or without a time to wait; an error; silence; a cut connection."""
REPLY_FAULTS = ("empty", "truncated", "wrong_schema", "prose", "refusal")
"""Faults of an answer that is paid for: empty, cut off, another object, with prose around it, a refusal."""
PATIENCE = 3
"""Failures in a row after which a request is answered."""
Rate = Annotated[float, Field(ge=0, le=1)]


class Behaviour(Config):
    """The settings of an oracle."""

    unknown: Rate = 0.0
    """Share of requests in which it sees nothing and guesses."""
    knows: Rate = 0.0
    """Share of requests in which it answers right although it was shown another part of the video: what models remember."""
    habits: Habits = Field(default_factory=Habits)
    """How it looks although it knows better."""
    defects: dict[str, Rate] = Field(default_factory=dict)
    """Share of the replies that a defect fits into which get it."""
    faults: dict[str, Rate] = Field(default_factory=dict)
    """Share of requests that meet a fault."""
    delay_s: NonNegativeFloat = 0.0
    """Seconds before each answer."""

    @field_validator("defects")
    @classmethod
    def _known_defects(cls, rate_by_defect: dict[str, float]) -> dict[str, float]:
        return _check_names(rate_by_defect, [*LOOK_DEFECTS, *STEP_DEFECTS, *ANSWER_DEFECTS])

    @field_validator("faults")
    @classmethod
    def _known_faults(cls, rate_by_fault: dict[str, float]) -> dict[str, float]:
        for fault_names in (SERVER_FAULTS, REPLY_FAULTS):
            if sum(rate_by_fault.get(fault_name, 0.0) for fault_name in fault_names) > 1:
                raise ValueError(f"the rates of {', '.join(fault_names)} are more than 1 together")
        return _check_names(rate_by_fault, [*SERVER_FAULTS, *REPLY_FAULTS])

    def draw(self, topic: str, request: bytes) -> Random:
        """A random generator that depends on the topic and the request alone."""
        return Random(hashlib.sha256(f"{topic} ".encode() + request).digest())

    def server_fault(self, request: bytes, times_asked: int) -> str | None:
        """The server fault that this request meets; None if it is answered."""
        if times_asked >= PATIENCE:
            return None
        return _draw_fault(self.faults, SERVER_FAULTS, self.draw(f"server {times_asked}", request))

    def reply_fault(self, request: bytes) -> str | None:
        """The fault of the reply to this request, or None."""
        return _draw_fault(self.faults, REPLY_FAULTS, self.draw("reply", request))


def spoilt(text: str, fault: str) -> str:
    """The text of a reply with a fault; a refusal has no text."""
    if fault == "empty" or fault == "refusal":
        return ""
    if fault == "truncated":
        return text[: len(text) * 2 // 3]
    if fault == "wrong_schema":
        return '{"reasoning": ' + text + "}"
    return f"Sure, here is what you asked for:\n```json\n{text}\n```\nLet me know if you need anything else."


def _draw_fault(rate_by_fault: Mapping[str, float], fault_names: tuple[str, ...], rng: Random) -> str | None:
    random_point = rng.random()
    for fault_name in fault_names:
        random_point -= rate_by_fault.get(fault_name, 0.0)
        if random_point < 0:
            return fault_name
    return None


def _check_names(rate_by_name: dict[str, float], known_names: list[str]) -> dict[str, float]:
    for rated_name in rate_by_name:
        if rated_name not in known_names:
            raise ValueError(f"there is no {rated_name!r}: {nearest(rated_name, known_names)}")
    return rate_by_name
