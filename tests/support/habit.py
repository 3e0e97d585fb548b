"""A habit of a provider: its name, who in the world has it, and how it responds; and the list of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.support.completions import Inquiry, Wire

Responds = Callable[[Inquiry], Wire]


@dataclass(frozen=True)
class Habit:
    """One way in which a provider differs from the text of its documentation."""

    name: str
    who: str
    """Who does that in the real world."""
    respond: Responds


HABITS: dict[str, Habit] = {}


def habit(who: str) -> Callable[[Responds], Responds]:
    """Put a function into the list, under its own name."""

    def entered(respond: Responds) -> Responds:
        name = getattr(respond, "__name__", "").replace("_", "-")
        HABITS[name] = Habit(name, who, respond)
        return respond

    return entered
