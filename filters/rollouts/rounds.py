"""How many tries are enough: rounds of fixed size, and confidence intervals that say when more tries are not needed."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from dmforge.schemas.config import Config

Share = Annotated[float, Field(ge=0, le=1)]
Where = Literal["below", "between", "above", "not clear"]


class RoundsConfig(Config):
    """When rolling out stops. This decides how much is measured; what is kept is decided by the thresholds of a selection."""

    sizes: tuple[PositiveInt, ...] = (4, 8, 16)
    """Total number of rollouts after each round."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Confidence of the intervals."""

    @model_validator(mode="after")
    def _require_ascending(self) -> Self:
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError("sizes, the number of rollouts after each round, must be in ascending order")
        return self


@dataclass(frozen=True, slots=True)
class TryCount:
    """How many tries there were, and how many of them were right."""

    right: int
    n: int

    @property
    def rate(self) -> float:
        return self.right / self.n if self.n else 0.0

    def __str__(self) -> str:
        return f"{self.right} of {self.n}"


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval of a rate, or of a difference of two rates."""

    low: float
    high: float

    def against(self, low: float, high: float) -> Where:
        """Where the interval lies relative to two thresholds, if it is clear of both."""
        if self.high < low:
            return "below"
        if self.low > high:
            return "above"
        return "between" if low < self.low and self.high < high else "not clear"

    def __str__(self) -> str:
        return f"{self.low:.3f} - {self.high:.3f}"


def wilson(tries: TryCount, confidence: float) -> Interval:
    """Wilson's interval of a rate: (p + z2/2n -+ z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n). It is sound for few tries, and for
    rates of 0 and 1, where the usual one has no width."""
    normal_quantile, success_rate, try_count = NormalDist().inv_cdf((1 + confidence) / 2), tries.rate, tries.n
    if not try_count:
        return Interval(0.0, 1.0)
    interval_center, half_width = (
        success_rate + normal_quantile * normal_quantile / (2 * try_count),
        normal_quantile
        * sqrt(success_rate * (1 - success_rate) / try_count + normal_quantile * normal_quantile / (4 * try_count * try_count)),
    )
    shrink_divisor = 1 + normal_quantile * normal_quantile / try_count
    # it holds the rate itself, whatever floats make of an end that is exactly 0 or 1
    return Interval(
        max(0.0, min(success_rate, (interval_center - half_width) / shrink_divisor)),
        min(1.0, max(success_rate, (interval_center + half_width) / shrink_divisor)),
    )


def difference(tries: TryCount, baseline: TryCount, confidence: float) -> Interval:
    """Newcombe's interval of one rate minus another, from Wilson's of each. That they were tried with the same seeds is not
    used: it errs on the side of trying more."""
    tries_interval, baseline_interval, rate_gap = (
        wilson(tries, confidence),
        wilson(baseline, confidence),
        tries.rate - baseline.rate,
    )
    margin_below = sqrt((tries.rate - tries_interval.low) ** 2 + (baseline_interval.high - baseline.rate) ** 2)
    margin_above = sqrt((tries_interval.high - tries.rate) ** 2 + (baseline.rate - baseline_interval.low) ** 2)
    return Interval(rate_gap - margin_below, rate_gap + margin_above)
