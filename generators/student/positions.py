"""Positions of tokens in time, down and across: the multimodal rotary positions of Qwen3-VL, computed explicitly.

A text goes on by one in all three. A temporal patch stands at one time, its visual tokens down and across from there; what
follows goes on behind its longer side. They are explicit so that a clip can be put behind a cached row.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def positions(ids: Ids, video_pad: int, cells: Iterable[tuple[int, int]], first_position: int = 0) -> Ids:
    """Positions of tokens, 3 x tokens, from `first_position` on. `cells` holds the visual tokens down and across of each
    temporal patch."""
    table = np.empty((3, len(ids)), np.int64)
    pad_indices = np.flatnonzero(ids == video_pad)
    index, position, pads_used = 0, first_position, 0
    for down, across in cells:
        cell_count = down * across
        start = int(pad_indices[pads_used]) if pads_used < len(pad_indices) else len(ids)
        if pads_used + cell_count > len(pad_indices) or pad_indices[pads_used + cell_count - 1] != start + cell_count - 1:
            raise ValueError(f"a patch of {down} x {across} needs {cell_count} visual tokens in a row at token {start}")
        table[:, index:start] = np.arange(position, position + start - index)
        position += start - index
        table[0, start : start + cell_count] = position
        table[1, start : start + cell_count] = position + np.arange(cell_count) // across
        table[2, start : start + cell_count] = position + np.arange(cell_count) % across
        index, position, pads_used = start + cell_count, position + max(down, across), pads_used + cell_count
    if pads_used != len(pad_indices):
        raise ValueError(f"there are {len(pad_indices)} visual tokens, but patches for {pads_used}")
    table[:, index:] = np.arange(position, position + len(ids) - index)
    return table


def next_position(positions: Ids, first_position: int) -> int:
    """The next position after these; `first_position` where there are none."""
    return int(positions.max()) + 1 if positions.size else first_position
