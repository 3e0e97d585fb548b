"""A clip never costs more visual tokens than its budget: many frames are shown smaller, few larger."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from dmforge.schemas.errors import InputError
from dmforge.schemas.stamps import patches

CELL = 32
"""Pixels a side of one visual token: patches of 16, merged 2 by 2."""


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


def _cells(pixels: int) -> int:
    return max(1, _rounded_ratio(pixels, CELL))


def _rounded_ratio(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest integer, a half upwards, in integers."""
    return (2 * numerator + denominator) // (2 * denominator)
