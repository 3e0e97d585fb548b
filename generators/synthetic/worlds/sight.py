"""Compares pictures of any size with what a script shows, on a grid of cells."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from dmforge.generators.synthetic.worlds.rasterize import STRIP, Picture, draw
from dmforge.generators.synthetic.worlds.script import Script, Sprite

GRID = 32
"""Cells on each side of the grid. It is the size of the smallest clip, and all sizes are multiples of it."""
ROWS = GRID - GRID // STRIP
"""Rows of cells that hold the picture; the rest, below, is the timecode."""
CLEAR = 24
"""Cells that differ by more than this, of 255, can be told apart by eye and after two encodings."""

Cells = NDArray[np.float32]


def cells(pictures: Picture) -> Cells:
    """Pictures on the grid, without their timecode: `ROWS` x `GRID` x 3 each."""
    *_, picture_height, picture_width, _ = pictures.shape
    cell_height, cell_width = picture_height // GRID, picture_width // GRID
    # sums of strided slices, and no matrix product: that would start a pool of threads in every process that looks
    row_slices = [
        pictures[..., pixel_offset : cell_height * GRID : cell_height, : cell_width * GRID, :].astype(np.float32)
        for pixel_offset in range(cell_height)
    ]
    by_row = reduce(np.add, row_slices)
    cell_sums = reduce(np.add, [by_row[..., pixel_offset::cell_width, :] for pixel_offset in range(cell_width)])
    return cell_sums[..., :ROWS, :, :] / np.float32(cell_height * cell_width)


class WorldEye:
    """Compares pictures with one script. What the script shows is drawn once for each frame."""

    def __init__(self, script: Script, width: int, height: int) -> None:
        self._script, self._size = script, (width, height)
        self._drawn: dict[tuple[tuple[Sprite, ...], int], Cells] = {}

    def expected(self, frame_index: int, script: Script | None = None) -> Cells:
        """The cells that the script, or another one, shows at a frame."""
        script = script or self._script
        # a drawing depends on these alone: most rivals differ in a few frames only
        scene_and_frame = (script.scene(frame_index), frame_index)
        if scene_and_frame not in self._drawn:
            self._drawn[scene_and_frame] = cells(draw(script, frame_index, *self._size))
        return self._drawn[scene_and_frame]

    def tells(self, rival: Script, frame_index: int, seen_cells: Cells) -> bool:
        """The picture is clearly of our script and not of a rival."""
        if self._script.scene(frame_index) == rival.scene(frame_index):
            return False
        script_cells, rival_cells = self.expected(frame_index), self.expected(frame_index, rival)
        clearly_different_cells = np.abs(script_cells - rival_cells).max(axis=2) > CLEAR
        if not clearly_different_cells.any():
            return False
        return 2 * float(np.abs(seen_cells - script_cells)[clearly_different_cells].mean()) < float(
            np.abs(seen_cells - rival_cells)[clearly_different_cells].mean()
        )

    def tells_all(self, rivals: tuple[Script, ...], cells_by_frame: Mapping[int, Cells]) -> bool:
        """The pictures, by frame, tell our script from every rival."""
        return all(
            any(self.tells(rival, frame_index, seen_cells) for frame_index, seen_cells in cells_by_frame.items())
            for rival in rivals
        )
