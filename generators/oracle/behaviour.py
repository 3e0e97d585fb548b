"""How the oracle misbehaves when it is told to: what it doesn't know, which defects it plants, how its server fails.

All of it follows from the request, so that the same request meets the same fate whenever it comes; only a failure of the server
also depends on how often it was asked, and passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from random import Random
from typing import Annotated

from pydantic import Field, NonNegativeFloat, field_validator

from dmforge.generators.oracle.defects import ANSWER_DEFECTS, LOOK_DEFECTS
from dmforge.generators.oracle.habits import Habits
from dmforge.schemas.config import Config, nearest

SERVER_FAULTS = ("429", "429_hint", "500", "hang", "cut")
"""Nothing was answered: asked to slow down, with or without saying for how long; broken; silent; cut off in the middle."""
REPLY_FAULTS = ("empty", "truncated", "wrong_schema", "prose", "refusal")
"""Something was answered, and paid for: nothing, half a reply, another object, words around it, no."""
PATIENCE = 3
"""So many failures in a row, and then the request is answered."""
Rate = Annotated[float, Field(ge=0, le=1)]


class Behaviour(Config):
    """What an oracle is told."""

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
    def _known_defects(cls, rates: dict[str, float]) -> dict[str, float]:
        return _known(rates, [*LOOK_DEFECTS, *ANSWER_DEFECTS])

    @field_validator("faults")
    @classmethod
    def _known_faults(cls, rates: dict[str, float]) -> dict[str, float]:
        for names in (SERVER_FAULTS, REPLY_FAULTS):
            if sum(rates.get(name, 0.0) for name in names) > 1:
                raise ValueError(f"the rates of {', '.join(names)} are more than 1 together")
        return _known(rates, [*SERVER_FAULTS, *REPLY_FAULTS])

    def draw(self, about: str, request: bytes) -> Random:
        """Chance that depends on the request alone."""
        return Random(hashlib.sha256(f"{about} ".encode() + request).digest())

    def server_fault(self, request: bytes, asked_before: int) -> str | None:
        """What happens to this request instead of an answer."""
        if asked_before >= PATIENCE:
            return None
        return _drawn(self.faults, SERVER_FAULTS, self.draw(f"server {asked_before}", request))

    def reply_fault(self, request: bytes) -> str | None:
        """What is wrong with the reply to this request."""
        return _drawn(self.faults, REPLY_FAULTS, self.draw("reply", request))


def spoilt(text: str, fault: str) -> str:
    """A reply as a fault leaves it; a refusal is no text at all."""
    if fault == "empty" or fault == "refusal":
        return ""
    if fault == "truncated":
        return text[: len(text) * 2 // 3]
    if fault == "wrong_schema":
        return '{"reasoning": ' + text + "}"
    return f"Sure, here is what you asked for:\n```json\n{text}\n```\nLet me know if you need anything else."


def _drawn(rates: Mapping[str, float], names: tuple[str, ...], draw: Random) -> str | None:
    at = draw.random()
    for name in names:
        at -= rates.get(name, 0.0)
        if at < 0:
            return name
    return None


def _known(rates: dict[str, float], names: list[str]) -> dict[str, float]:
    for name in rates:
        if name not in names:
            raise ValueError(f"there is no {name!r}: {nearest(name, names)}")
    return rates
