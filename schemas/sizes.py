"""A clip never costs more visual tokens than its budget: many frames are shown smaller, few larger."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

from dmforge.schemas.errors import InputError
from dmforge.schemas.stamps import patches

CELL = 32
"""Pixels a side of one visual token: patches of 16, merged 2 by 2."""
MAX_STRETCH_PERCENT = 8
"""How far a size between the overview's and the densest look's may be from the source's aspect: see `plan_look_sizes`."""


@dataclass(frozen=True, slots=True)
class Size:
    """A frame size in pixels, on the grid of cells."""

    width: int
    height: int

    @property
    def tokens(self) -> int:
        """Visual tokens of one temporal patch."""
        return (self.width // CELL) * (self.height // CELL)


def clip_tokens(frame_count: int, size: Size) -> int:
    """Visual tokens of a clip."""
    return patches(frame_count) * size.tokens


def plan_size(frames: int, width: int, height: int, token_budget: int) -> Size:
    """The largest size for so many frames of a `width` x `height` source whose clip fits the budget.

    Never above the source, rounded to cells. The longer side takes every number of cells in turn and the shorter one the
    nearest that keeps the aspect, so the aspect is as true as the grid allows; the last pair that fits is taken.
    """
    if min(frames, width, height) < 1:
        raise ValueError(f"no size for {frames} frames of {width} x {height}: all must be at least 1")
    tokens_per_patch = token_budget // patches(frames)
    if tokens_per_patch < 1:
        raise InputError(
            f"{frames} frames are {patches(frames)} temporal patches, more than the budget of {token_budget} visual tokens",
            hint=f"raise the token budget to at least {patches(frames)}, or lower the number of frames to {2 * token_budget}",
        )
    long_side, short_side = max(width, height), min(width, height)
    max_long_cells, max_short_cells = _cells(long_side), _cells(short_side)

    def short_cells(cells: int) -> int:
        if cells == max_long_cells:
            return max_short_cells
        return max(1, _rounded_ratio(cells * short_side, long_side))

    # cells * short_cells(cells) never falls, so the last number of cells that fits is found by bisection; 1 x 1 always fits
    long_cells = bisect_right(range(1, max_long_cells + 1), tokens_per_patch, key=lambda cells: cells * short_cells(cells))
    sides = long_cells * CELL, short_cells(long_cells) * CELL
    return Size(*sides) if width >= height else Size(*reversed(sides))


@lru_cache(maxsize=4096)
def plan_look_sizes(max_frames: int, width: int, height: int, token_budget: int, overview: Size) -> tuple[Size, ...]:
    """The size of a look with one temporal patch, with two, and so on, of a video whose overview has the size `overview`.

    The densest look has the size that fits the budget, and no look has a smaller one. Where the overview's is larger, sparser
    looks have the largest size up to the overview's with which a look never costs more than one with more frames. Sizes go by
    whole cells, so prices that never fall need a fine ladder of sizes: hence a little stretch is allowed.
    """
    densest = plan_size(max_frames, width, height, token_budget)
    if overview.tokens <= densest.tokens:
        return (densest,) * patches(max_frames)
    ladder = _sizes_between(densest, overview, width, height)
    sizes = [densest]
    for patch_count in range(patches(max_frames) - 1, 0, -1):
        max_tokens = (patch_count + 1) * sizes[-1].tokens // patch_count
        sizes.append(ladder[bisect_right(ladder, max_tokens, key=lambda size: size.tokens) - 1])
    return tuple(reversed(sizes))


def _sizes_between(smaller: Size, larger: Size, width: int, height: int) -> list[Size]:
    """Sizes from `smaller` to `larger`, by their tokens: for each number of tokens the one with the truest aspect."""

    def stretch(size: Size) -> Fraction:
        """How far the aspect is from the source's: 0 where it is the same."""
        return abs(Fraction(size.height * width, size.width * height) - 1)

    truest: dict[int, Size] = {}
    for size_width in range(smaller.width, larger.width + 1, CELL):
        true_cells = Fraction(size_width * height, width * CELL)
        lowest = max(smaller.height // CELL, ceil(true_cells * (100 - MAX_STRETCH_PERCENT) / 100))
        highest = min(larger.height // CELL, floor(true_cells * (100 + MAX_STRETCH_PERCENT) / 100))
        for height_cells in range(lowest, highest + 1):
            size = Size(size_width, height_cells * CELL)
            truest[size.tokens] = min(truest.get(size.tokens, size), size, key=stretch)
    truest |= {smaller.tokens: smaller, larger.tokens: larger}
    return [truest[tokens] for tokens in sorted(truest)]


def _cells(pixels: int) -> int:
    return max(1, _rounded_ratio(pixels, CELL))


def _rounded_ratio(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest integer, a half upwards, in integers."""
    return (2 * numerator + denominator) // (2 * denominator)
