"""How far two distributions are apart, with an interval: Wasserstein for numbers, total variation for categories.

Whatever is counted belongs to a video, and what is said about one video is alike. So videos are drawn anew, not rows: each
replicate of the bootstrap draws as many as there are, with replacement, on either side. The distance of two samples of one
distribution is never 0: `chance` is what it comes to, in 95 of 100, were the two distributions the same. Replicates less
the distribution of their own side differ by nothing but the draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

REPLICATES = 400
CONFIDENCE = 0.95
MAX_BLOCKS = 2_000
"""Videos beyond so many are drawn in blocks of several: the sums over blocks vary as those over videos do."""
MAX_POINTS = 512
"""Replicates are compared at so many values, quantiles of both sides; the distance itself is exact."""
SEED = 20


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """How often each value comes in each block of videos, as a list without zeros."""

    blocks: npt.NDArray[np.int64]
    values: npt.NDArray[Any]
    """Numbers, or names of categories."""
    counts: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        return int(self.counts.sum())


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two distributions are apart."""

    value: float
    low: float | None
    high: float | None
    """The interval of 95 %; None where there are fewer than two videos on a side."""
    chance: float | None
    """What the distance of two samples of one distribution comes to, in 95 of 100."""

    @property
    def is_apart(self) -> bool:
        """Whether it is more than chance."""
        return self.chance is not None and self.value > self.chance


def number_distance(here: BlockCounts, there: BlockCounts) -> Distance:
    """Wasserstein's distance of numbers, in their unit: how far each is moved, on average, to make one out of the other."""
    points = np.unique(np.concatenate([here.values, there.values]).astype(np.float64))
    sides = [_shares(side, np.searchsorted(points, side.values), len(points)) for side in (here, there)]
    value = _area(points)(sides[0] - sides[1])
    if len(points) > MAX_POINTS:
        quantiles = np.quantile(points, np.linspace(0, 1, MAX_POINTS), method="closest_observation")
        points = np.unique(quantiles)
    # the nearest point to a number, so that what is rounded up and down is alike
    middles = (points[1:] + points[:-1]) / 2
    replicates = [
        _replicates(side, np.searchsorted(middles, side.values), len(points), SEED + index)
        for index, side in enumerate((here, there))
    ]
    return _with_interval(float(value), replicates, _area(points))


def category_distance(here: BlockCounts, there: BlockCounts) -> Distance:
    """The total variation of categories: which share would have to be something else to make one out of the other.

    Beyond `MAX_POINTS` categories the rarest are one."""
    names, places = np.unique(np.concatenate([here.values, there.values]).astype(str), return_inverse=True)
    count = len(names)
    pairs = list(zip((here, there), (places[: len(here.values)], places[len(here.values) :]), strict=True))
    if count > MAX_POINTS:
        shares_of_both = sum(_shares(side, side_places, count) for side, side_places in pairs)
        ranks = np.empty(count, np.intp)
        ranks[np.argsort(-shares_of_both, kind="stable")] = np.arange(count)
        pairs = [(side, np.minimum(ranks[side_places], MAX_POINTS - 1)) for side, side_places in pairs]
        count = MAX_POINTS
    shares = [_shares(side, side_places, count) for side, side_places in pairs]
    replicates = [_replicates(side, side_places, count, SEED + index) for index, (side, side_places) in enumerate(pairs)]
    return _with_interval(float(_half_sum(shares[0] - shares[1])), replicates, _half_sum)


def _shares(side: BlockCounts, places: npt.NDArray[np.intp], count: int) -> Floats:
    sums = np.bincount(places, weights=side.counts, minlength=count)
    return sums / sums.sum()


def _area(points: Floats) -> Callable[[Floats], Floats]:
    """The area between two distribution functions, from the difference of their shares at some points."""
    steps = np.diff(points)
    return lambda shares: np.abs(np.cumsum(shares, axis=-1)[..., :-1]) @ steps


def _half_sum(shares: Floats) -> Floats:
    return np.abs(shares).sum(axis=-1) / 2


def _replicates(side: BlockCounts, places: npt.NDArray[np.intp], count: int, seed: int) -> tuple[Floats, Floats] | None:
    """The shares of each replicate, and of the side itself; None where there is nothing to draw from."""
    _, rows = np.unique(side.blocks, return_inverse=True)
    block_count = int(rows.max()) + 1
    if block_count < 2:
        return None
    table = np.bincount(rows * count + places, weights=side.counts, minlength=block_count * count).reshape(block_count, count)
    draws = np.random.default_rng(seed).multinomial(block_count, np.full(block_count, 1 / block_count), REPLICATES)
    sums = draws.astype(np.float64) @ table
    return sums / sums.sum(axis=1, keepdims=True), table.sum(axis=0) / table.sum()


def _with_interval(
    value: float, replicates: list[tuple[Floats, Floats] | None], measure: Callable[[Floats], Floats]
) -> Distance:
    here, there = replicates
    if here is None or there is None:
        return Distance(value, None, None, None)
    (drawn_here, shares_here), (drawn_there, shares_there) = here, there
    distances = measure(drawn_here - drawn_there)
    chance = float(np.quantile(measure((drawn_here - shares_here) - (drawn_there - shares_there)), CONFIDENCE))
    # a replicate is farther apart than its sample, as that is than the truth: so the interval is turned around it
    least, most = np.quantile(distances, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    low = max(0.0, 2 * value - most) if value > chance else 0.0
    return Distance(value, low, max(2 * value - least, low, value), chance)
