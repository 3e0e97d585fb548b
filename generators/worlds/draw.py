"""Scenes become pixels, by integer arithmetic only: the same frame on every machine.

Each frame carries a timecode, a strip of black and white cells at its lower edge, so that anyone who is sent a frame can tell
which one it is; it survives JPEG, H.264 and scaling down to 32 pixels.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from dmforge.generators.worlds.script import COLOURS, MAX_DOTS, UNITS, Script, Sprite

Picture = NDArray[np.uint8]
"""Height x width x 3, or several of them."""

CELLS = 16
INDEX_BITS = 11
STRIP = 16
"""The strip takes this part of the height."""
KEY = 19
"""Odd, so that the check differs for neighbouring frames, and is not 0 where all cells are black or all white."""
DOT = 6
GRAIN = 8
"""Cells a side of the background's texture."""
TEXTURE = (30, 110)
WHITE = 255


def draw(script: Script, frame: int, width: int, height: int) -> Picture:
    """One frame of a world."""
    picture = backdrop(script.seed, width, height)
    picture = np.roll(picture, frame, axis=1) if script.drifts else picture.copy()
    for sprite in script.scene(frame):
        _put(picture, sprite, script.radius)
    put_timecode(picture, frame)
    return picture


def picture_rows(height: int) -> int:
    """Rows above the strip."""
    return height - height // STRIP


def read_timecode(picture: Picture) -> int | None:
    """Which frame this is, or None where no timecode can be read: the picture is of something else, or too damaged."""
    height, width = picture.shape[:2]
    strip = picture[picture_rows(height) :, : width // CELLS * CELLS]
    if not strip.size:
        return None
    cells = strip.reshape(strip.shape[0], CELLS, -1).mean(axis=(0, 2)) > WHITE // 2
    code = sum(int(bit) << place for place, bit in enumerate(cells))
    index = code & ((1 << INDEX_BITS) - 1)
    return index if code >> INDEX_BITS == _check(index) else None


def _check(index: int) -> int:
    return (index * KEY + 11) % (1 << (CELLS - INDEX_BITS))


def put_timecode(picture: Picture, frame: int) -> None:
    height, width = picture.shape[:2]
    code = frame | _check(frame) << INDEX_BITS
    bits = np.array([code >> place & 1 for place in range(CELLS)], np.uint8) * WHITE
    cell = width // CELLS
    picture[picture_rows(height) :, : cell * CELLS] = np.repeat(bits, cell)[None, :, None]


@lru_cache(maxsize=8)
def backdrop(seed: int, width: int, height: int) -> Picture:
    """A dim texture that wraps around: random colours on a coarse grid, joined linearly, with a little grain."""
    draw = Random(f"backdrop {seed}")
    low, high = TEXTURE
    corners = np.frombuffer(draw.randbytes(GRAIN * GRAIN * 3), np.uint8).reshape(GRAIN, GRAIN, 3)
    corners = low + corners.astype(np.int32) * (high - low) // 255
    texture = _stretched(_stretched(corners, height, 0), width, 1)
    grain = np.frombuffer(draw.randbytes(width * height), np.uint8).reshape(height, width, 1).astype(np.int32)
    return (texture + grain // 16 - 8).astype(np.uint8)


def _stretched(grid: NDArray[np.int32], length: int, axis: int) -> NDArray[np.int32]:
    """Linear interpolation along one axis, in integers; the last cell leads back to the first."""
    cells = grid.shape[axis]
    at = np.arange(length) * cells
    left, rest = at // length, at % length
    rest = rest.reshape([-1 if index == axis else 1 for index in range(3)])
    here, there = grid.take(left, axis), grid.take((left + 1) % cells, axis)
    return (here * (length - rest) + there * rest) // length


def _put(picture: Picture, sprite: Sprite, radius: int) -> None:
    height, width = picture.shape[:2]
    unit = min(width, height)
    mask = _mask(sprite.shape, 2 * radius * unit // UNITS)
    side, room = mask.shape[0], picture_rows(height)
    left = (width - side) * sprite.place[0] // 1000
    top = (room - side) * sprite.place[1] // 1000
    picture[top : top + side, left : left + side][mask] = COLOURS[sprite.colour]
    dot = DOT * unit // UNITS
    for number in range(sprite.dots):
        x = width * (2 * number + 1) // (2 * MAX_DOTS) - dot // 2
        picture[dot // 2 : dot // 2 + dot, x : x + dot] = WHITE


@lru_cache(maxsize=64)
def _mask(shape: str, side: int) -> NDArray[np.bool_]:
    # twice the distance from the middle, so that it is an integer
    down, across = np.mgrid[0:side, 0:side] * 2 - (side - 1)
    if shape == "circle":
        return down**2 + across**2 <= side**2
    if shape == "diamond":
        return np.abs(down) + np.abs(across) <= side
    if shape == "triangle":
        return 2 * np.abs(across) <= down + side
    return np.ones((side, side), bool)
