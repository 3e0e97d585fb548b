"""Habits are no faults that a rule could find: they are how somebody always looks, and what imitates him learns them.

Exact rewards are what they can be mended with.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Annotated

from pydantic import Field, NonNegativeInt

from dmforge.schemas.config import Config
from dmforge.schemas.looks import Look, Window


class Habits(Config):
    """How an oracle looks, beside what it has seen."""

    wide_s: NonNegativeInt = 0
    """Each end of its windows is up to so many whole seconds too far out."""
    sparse: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the looks that need more than 2 frames a second and get half of that."""

    def of(self, look: Look, duration_cs: int, draw: Random) -> Look:
        """Where it looks, knowing where it should."""
        before, after = (100 * draw.randint(0, self.wide_s) for _ in range(2))
        window = Window(max(0, look.window.start_cs - before), min(duration_cs, look.window.end_cs + after))
        is_sparse = draw.random() < self.sparse and look.fps > 2
        return Look(window, Fraction(look.fps / 2) if is_sparse else look.fps)
