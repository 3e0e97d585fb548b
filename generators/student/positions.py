"""Positions of tokens in time, down and across: the multimodal rotary positions of Qwen3-VL, computed explicitly.

A text goes on by one in all three. A temporal patch stands at one time, its visual tokens down and across from there; what
follows goes on behind its longer side. They are explicit so that a clip can be put behind a cached row.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def positions(ids: Ids, video_pad: int, cell_grids: Iterable[tuple[int, int]], first_position: int = 0) -> Ids:
    """Positions of tokens, 3 x tokens, from `first_position` on. `cell_grids` holds the visual tokens down and across of each
    temporal patch."""
    position_table = np.empty((3, len(ids)), np.int64)
    pad_indices = np.flatnonzero(ids == video_pad)
    token_index, next_free_position, pads_used = 0, first_position, 0
    for cells_down, cells_across in cell_grids:
        cell_count = cells_down * cells_across
        clip_start = int(pad_indices[pads_used]) if pads_used < len(pad_indices) else len(ids)
        if pads_used + cell_count > len(pad_indices) or pad_indices[pads_used + cell_count - 1] != clip_start + cell_count - 1:
            raise ValueError(
                f"a patch of {cells_down} x {cells_across} needs {cell_count} visual tokens in a row at token {clip_start}"
            )
        position_table[:, token_index:clip_start] = np.arange(next_free_position, next_free_position + clip_start - token_index)
        next_free_position += clip_start - token_index
        position_table[0, clip_start : clip_start + cell_count] = next_free_position
        position_table[1, clip_start : clip_start + cell_count] = next_free_position + np.arange(cell_count) // cells_across
        position_table[2, clip_start : clip_start + cell_count] = next_free_position + np.arange(cell_count) % cells_across
        token_index, next_free_position, pads_used = (
            clip_start + cell_count,
            next_free_position + max(cells_down, cells_across),
            pads_used + cell_count,
        )
    if pads_used != len(pad_indices):
        raise ValueError(f"there are {len(pad_indices)} visual tokens, but patches for {pads_used}")
    position_table[:, token_index:] = np.arange(next_free_position, next_free_position + len(ids) - token_index)
    return position_table


def next_position(positions: Ids, first_position: int) -> int:
    """The next position after these; `first_position` where there are none."""
    return int(positions.max()) + 1 if positions.size else first_position
