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


def plan_size(frame_count: int, width: int, height: int, token_budget: int) -> Size:
    """The largest size for so many frames of a `width` x `height` source whose clip fits the budget.

    Never above the source, rounded to cells. The longer side takes every number of cells in turn and the shorter one the
    nearest that keeps the aspect, so the aspect is as true as the grid allows; the last pair that fits is taken.
    """
    if min(frame_count, width, height) < 1:
        raise ValueError(f"no size for {frame_count} frames of {width} x {height}: all must be at least 1")
    patch_count = patches(frame_count)
    tokens_per_patch = token_budget // patch_count
    if tokens_per_patch < 1:
        raise InputError(
            f"{frame_count} frames are {patch_count} temporal patches, more than the budget of {token_budget} visual tokens",
            hint=f"raise the token budget to at least {patch_count}, or lower the number of frames to {2 * token_budget}",
        )
    long_side, short_side = max(width, height), min(width, height)
    max_long_cells, max_short_cells = _cells(long_side), _cells(short_side)

    def short_cells(long_cells: int) -> int:
        if long_cells == max_long_cells:
            return max_short_cells
        return max(1, _rounded_ratio(long_cells * short_side, long_side))

    # cells * short_cells(cells) never falls, so the last number of cells that fits is found by bisection; 1 x 1 always fits
    long_cells = bisect_right(
        range(1, max_long_cells + 1),
        tokens_per_patch,
        key=lambda candidate_cells: candidate_cells * short_cells(candidate_cells),
    )
    long_and_short_px = long_cells * CELL, short_cells(long_cells) * CELL
    return Size(*long_and_short_px) if width >= height else Size(*reversed(long_and_short_px))


@lru_cache(maxsize=4096)
def plan_look_sizes(max_frames: int, width: int, height: int, token_budget: int, overview_size: Size) -> tuple[Size, ...]:
    """The size of a look with one temporal patch, with two, and so on, of a video whose overview has the size `overview_size`.

    The densest look has the size that fits the budget, and no look has a smaller one. Where the overview's is larger, sparser
    looks have the largest size up to the overview's with which a look never costs more than one with more frames. Sizes go by
    whole cells, so prices that never fall need a fine ladder of sizes: hence a little stretch is allowed.
    """
    densest_size = plan_size(max_frames, width, height, token_budget)
    if overview_size.tokens <= densest_size.tokens:
        return (densest_size,) * patches(max_frames)
    larger_sizes = _sizes_between(densest_size, overview_size, width, height)
    look_sizes = [densest_size]
    for patch_count in range(patches(max_frames) - 1, 0, -1):
        max_tokens = (patch_count + 1) * look_sizes[-1].tokens // patch_count
        look_sizes.append(larger_sizes[bisect_right(larger_sizes, max_tokens, key=lambda size: size.tokens) - 1])
    return tuple(reversed(look_sizes))


def _sizes_between(smaller: Size, larger: Size, width: int, height: int) -> list[Size]:
    """Sizes from `smaller` to `larger`, by their tokens: for each number of tokens the one with the truest aspect."""

    def stretch(size: Size) -> Fraction:
        """How far the aspect is from the source's: 0 where it is the same."""
        return abs(Fraction(size.height * width, size.width * height) - 1)

    truest_by_tokens: dict[int, Size] = {}
    for size_width in range(smaller.width, larger.width + 1, CELL):
        true_cells = Fraction(size_width * height, width * CELL)
        min_height_cells = max(smaller.height // CELL, ceil(true_cells * (100 - MAX_STRETCH_PERCENT) / 100))
        max_height_cells = min(larger.height // CELL, floor(true_cells * (100 + MAX_STRETCH_PERCENT) / 100))
        for height_cells in range(min_height_cells, max_height_cells + 1):
            size = Size(size_width, height_cells * CELL)
            truest_by_tokens[size.tokens] = min(truest_by_tokens.get(size.tokens, size), size, key=stretch)
    truest_by_tokens |= {smaller.tokens: smaller, larger.tokens: larger}
    return [truest_by_tokens[token_count] for token_count in sorted(truest_by_tokens)]


def _cells(side_px: int) -> int:
    return max(1, _rounded_ratio(side_px, CELL))


def _rounded_ratio(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest integer, a half upwards, in integers."""
    return (2 * numerator + denominator) // (2 * denominator)
