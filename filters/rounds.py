"""How many tries are enough: rounds of fixed size, and intervals that say when the rest would change nothing."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from dmforge.schemas.config import Config

Share = Annotated[float, Field(ge=0, le=1)]
Where = Literal["below", "between", "above", "not clear"]


class Rounds(Config):
    """When rolling out stops. These decide how much is measured; what is kept is for thresholds of a selection to say."""

    sizes: tuple[PositiveInt, ...] = (4, 8, 16)
    """Rollouts in all, after each round."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Of the intervals."""

    @model_validator(mode="after")
    def _grow(self) -> Self:
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError("sizes are how many there are after each round: they grow")
        return self


@dataclass(frozen=True, slots=True)
class Tries:
    """So many of so many were right."""

    right: int
    n: int

    @property
    def rate(self) -> float:
        return self.right / self.n if self.n else 0.0

    def __str__(self) -> str:
        return f"{self.right} of {self.n}"


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a rate, or a difference of two, should lie."""

    low: float
    high: float

    def against(self, low: float, high: float) -> Where:
        """Where it stands to two thresholds, if it is clear of both."""
        if self.high < low:
            return "below"
        if self.low > high:
            return "above"
        return "between" if low < self.low and self.high < high else "not clear"

    def __str__(self) -> str:
        return f"{self.low:.3f} - {self.high:.3f}"


def wilson(tries: Tries, confidence: float) -> Interval:
    """Wilson's interval of a rate: (p + z2/2n -+ z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n). It is sound for few tries, and for
    rates of 0 and 1, where the usual one has no width."""
    z, p, n = NormalDist().inv_cdf((1 + confidence) / 2), tries.rate, tries.n
    if not n:
        return Interval(0.0, 1.0)
    middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    # it holds the rate itself, whatever floats make of an end that is exactly 0 or 1
    return Interval(max(0.0, min(p, (middle - half) / whole)), min(1.0, max(p, (middle + half) / whole)))


def difference(one: Tries, other: Tries, confidence: float) -> Interval:
    """Newcombe's interval of one rate less another, from Wilson's of each. That they were tried with the same seeds is not
    used: it errs on the side of trying more."""
    a, b, gap = wilson(one, confidence), wilson(other, confidence), one.rate - other.rate
    below = sqrt((one.rate - a.low) ** 2 + (b.high - other.rate) ** 2)
    above = sqrt((a.high - one.rate) ** 2 + (other.rate - b.low) ** 2)
    return Interval(gap - below, gap + above)
