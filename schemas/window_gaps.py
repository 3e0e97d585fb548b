"""The stretches of a video that windows leave between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from dmforge.schemas.looks import Window


def gaps_between(windows: Sequence[Window], start_cs: int, end_cs: int) -> list[Window]:
    """The gaps that windows leave between two times, in order."""
    sorted_windows = sorted(windows, key=lambda window: window.start_cs)
    gap_starts = accumulate((window.end_cs for window in sorted_windows), max, initial=start_cs)
    gap_ends = (*(min(window.start_cs, end_cs) for window in sorted_windows), end_cs)
    return [Window(gap_start, gap_end) for gap_start, gap_end in zip(gap_starts, gap_ends, strict=True) if gap_start < gap_end]
