"""What can be seen in pictures, whatever their size: they are compared with what a script shows, never trusted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from dmforge.generators.worlds.draw import STRIP, Picture, draw
from dmforge.generators.worlds.script import Script, Sprite

GRID = 32
"""Pictures are compared on a grid of so many cells a side, the size of the smallest clip: all sizes are multiples of it."""
ROWS = GRID - GRID // STRIP
"""Of these, the upper ones hold the picture; the rest is the timecode."""
CLEAR = 24
"""Cells that differ by this much, of 255, are told apart by eye and after two encodings."""

Cells = NDArray[np.float32]


def cells(pictures: Picture) -> Cells:
    """Pictures on the grid, without their timecode: `ROWS` x `GRID` x 3 each."""
    *_, height, width, _ = pictures.shape
    high, wide = height // GRID, width // GRID
    # sums of strided slices, and no matrix product: that would start a pool of threads in every process that looks
    rows = [pictures[..., at : high * GRID : high, : wide * GRID, :].astype(np.float32) for at in range(high)]
    by_row = reduce(np.add, rows)
    whole = reduce(np.add, [by_row[..., at::wide, :] for at in range(wide)])
    return whole[..., :ROWS, :, :] / np.float32(high * wide)


class Eye:
    """Looks at pictures of one script. What the script shows is drawn once a frame."""

    def __init__(self, script: Script, width: int, height: int) -> None:
        self._script, self._size = script, (width, height)
        self._drawn: dict[tuple[tuple[Sprite, ...], int], Cells] = {}

    def expected(self, frame: int, script: Script | None = None) -> Cells:
        """What the script shows at a frame; or what another one would."""
        script = script or self._script
        key = (script.scene(frame), frame)  # what is drawn follows from these: most rivals differ in a few frames only
        if key not in self._drawn:
            self._drawn[key] = cells(draw(script, frame, *self._size))
        return self._drawn[key]

    def tells(self, rival: Script, frame: int, seen: Cells) -> bool:
        """Whether this picture is clearly of our script and not of a rival."""
        if self._script.scene(frame) == rival.scene(frame):
            return False
        ours, theirs = self.expected(frame), self.expected(frame, rival)
        differ = np.abs(ours - theirs).max(axis=2) > CLEAR
        if not differ.any():
            return False
        return 2 * float(np.abs(seen - ours)[differ].mean()) < float(np.abs(seen - theirs)[differ].mean())

    def tells_all(self, rivals: tuple[Script, ...], seen: Mapping[int, Cells]) -> bool:
        """Whether these pictures, by frame, tell our script from every rival."""
        return all(any(self.tells(rival, frame, picture) for frame, picture in seen.items()) for rival in rivals)
