"""Where tokens stand, in time, down and across: the multimodal rotary positions of Qwen3-VL, written out.

A text goes on by one in all three. A temporal patch stands at one time, its visual tokens down and across from there; what
follows goes on behind its longer side. Given explicitly, so that a clip can be put behind a cache that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def positions(ids: Ids, video_pad: int, cells: Iterable[tuple[int, int]], first: int = 0) -> Ids:
    """3 x tokens, from `first` on. `cells` are those down and across of each temporal patch, in their order."""
    found = np.empty((3, len(ids)), np.int64)
    pads = np.flatnonzero(ids == video_pad)
    at, now, seen = 0, first, 0
    for down, across in cells:
        size = down * across
        begin = int(pads[seen]) if seen < len(pads) else len(ids)
        if seen + size > len(pads) or pads[seen + size - 1] != begin + size - 1:
            raise ValueError(f"no {size} visual tokens in a row at {begin}, for a patch of {down} x {across}")
        found[:, at:begin] = np.arange(now, now + begin - at)
        now += begin - at
        found[0, begin : begin + size] = now
        found[1, begin : begin + size] = now + np.arange(size) // across
        found[2, begin : begin + size] = now + np.arange(size) % across
        at, now, seen = begin + size, now + max(down, across), seen + size
    if seen != len(pads):
        raise ValueError(f"{len(pads)} visual tokens, but patches for {seen}")
    found[:, at:] = np.arange(now, now + len(ids) - at)
    return found


def following(positions: Ids, first: int) -> int:
    """The position behind all of these; `first` where there are none."""
    return int(positions.max()) + 1 if positions.size else first
