"""Habits of an oracle: ways of looking that no rule finds faulty, and that a student learns by imitation.

Reinforcement with exact rewards can correct them.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Annotated

from pydantic import Field, NonNegativeInt

from dmforge.schemas.config import Config
from dmforge.schemas.looks import Look, Window


class Habits(Config):
    """Settings of how an oracle's looks differ from the right ones."""

    wide_s: NonNegativeInt = 0
    """Each end of its windows is up to so many whole seconds too far out."""
    sparse: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the looks that need more than 2 frames a second and get half of that."""

    def of(self, look: Look, duration_cs: int, rng: Random) -> Look:
        """The look that the oracle takes, from the one that it should take."""
        margin_before, margin_after = (100 * rng.randint(0, self.wide_s) for _ in range(2))
        window = Window(max(0, look.window.start_cs - margin_before), min(duration_cs, look.window.end_cs + margin_after))
        is_sparse = rng.random() < self.sparse and look.fps > 2
        return Look(window, Fraction(look.fps / 2) if is_sparse else look.fps)
