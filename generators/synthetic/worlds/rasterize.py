"""Draws scenes as pixels, by integer arithmetic only, so that a frame is the same on every machine.

Each frame carries a timecode, a strip of black and white cells at its lower edge, so that anyone who is sent a frame can tell
which one it is; it survives JPEG, H.264 and scaling down to 32 pixels.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from dmforge.generators.synthetic.worlds.script import COLOURS, MAX_DOTS, UNITS, Script, Sprite

Picture = NDArray[np.uint8]
"""Height x width x 3, or several of them."""

CELLS = 16
INDEX_BITS = 11
STRIP = 16
"""The strip takes the height divided by this."""
KEY = 19
"""The factor of the check sum: odd, so that neighbouring frames differ, and all black or all white cells are invalid."""
DOT = 6
GRAIN = 8
"""Cells on each side of the background's texture."""
TEXTURE = (30, 110)
WHITE = 255


def draw(script: Script, frame: int, width: int, height: int) -> Picture:
    """Draw one frame of a world."""
    picture = backdrop(script.seed, width, height)
    picture = np.roll(picture, frame, axis=1) if script.drifts else picture.copy()
    for sprite in script.scene(frame):
        _draw_sprite(picture, sprite, script.radius)
    put_timecode(picture, frame)
    return picture


def picture_rows(height: int) -> int:
    """Rows above the strip."""
    return height - height // STRIP


def read_timecode(picture: Picture) -> int | None:
    """The frame index in a picture's timecode; None where none can be read, in a foreign or a damaged picture."""
    height, width = picture.shape[:2]
    strip = picture[picture_rows(height) :, : width // CELLS * CELLS]
    if not strip.size:
        return None
    cells = strip.reshape(strip.shape[0], CELLS, -1).mean(axis=(0, 2)) > WHITE // 2
    code = sum(int(bit) << bit_index for bit_index, bit in enumerate(cells))
    index = code & ((1 << INDEX_BITS) - 1)
    return index if code >> INDEX_BITS == _check_sum(index) else None


def _check_sum(index: int) -> int:
    return (index * KEY + 11) % (1 << (CELLS - INDEX_BITS))


def put_timecode(picture: Picture, frame: int) -> None:
    height, width = picture.shape[:2]
    code = frame | _check_sum(frame) << INDEX_BITS
    bits = np.array([code >> bit_index & 1 for bit_index in range(CELLS)], np.uint8) * WHITE
    cell_width = width // CELLS
    picture[picture_rows(height) :, : cell_width * CELLS] = np.repeat(bits, cell_width)[None, :, None]


@lru_cache(maxsize=8)
def backdrop(seed: int, width: int, height: int) -> Picture:
    """A dim texture that wraps around: random colours on a coarse grid, joined linearly, with a little grain."""
    rng = Random(f"backdrop {seed}")
    darkest, brightest = TEXTURE
    corners = np.frombuffer(rng.randbytes(GRAIN * GRAIN * 3), np.uint8).reshape(GRAIN, GRAIN, 3)
    corners = darkest + corners.astype(np.int32) * (brightest - darkest) // 255
    texture = _interpolate(_interpolate(corners, height, 0), width, 1)
    grain = np.frombuffer(rng.randbytes(width * height), np.uint8).reshape(height, width, 1).astype(np.int32)
    return (texture + grain // 16 - 8).astype(np.uint8)


def _interpolate(grid: NDArray[np.int32], length: int, axis: int) -> NDArray[np.int32]:
    """Linear interpolation along one axis, in integers; the last cell leads back to the first."""
    cells = grid.shape[axis]
    scaled = np.arange(length) * cells
    left_cell, weight = scaled // length, scaled % length
    weight = weight.reshape([-1 if index == axis else 1 for index in range(3)])
    left_values, right_values = grid.take(left_cell, axis), grid.take((left_cell + 1) % cells, axis)
    return (left_values * (length - weight) + right_values * weight) // length


def _draw_sprite(picture: Picture, sprite: Sprite, radius: int) -> None:
    height, width = picture.shape[:2]
    unit = min(width, height)
    mask = _shape_mask(sprite.shape, 2 * radius * unit // UNITS)
    side, picture_height = mask.shape[0], picture_rows(height)
    left_column = (width - side) * sprite.place[0] // 1000
    top_row = (picture_height - side) * sprite.place[1] // 1000
    picture[top_row : top_row + side, left_column : left_column + side][mask] = COLOURS[sprite.colour]
    dot = DOT * unit // UNITS
    for index in range(sprite.dots):
        dot_left = width * (2 * index + 1) // (2 * MAX_DOTS) - dot // 2
        picture[dot // 2 : dot // 2 + dot, dot_left : dot_left + dot] = WHITE


@lru_cache(maxsize=64)
def _shape_mask(shape: str, side: int) -> NDArray[np.bool_]:
    # twice the distance from the centre, so that it is an integer
    down, across = np.mgrid[0:side, 0:side] * 2 - (side - 1)
    if shape == "circle":
        return down**2 + across**2 <= side**2
    if shape == "diamond":
        return np.abs(down) + np.abs(across) <= side
    if shape == "triangle":
        return 2 * np.abs(across) <= down + side
    return np.ones((side, side), bool)
