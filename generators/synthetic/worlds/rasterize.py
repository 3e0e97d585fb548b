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


def draw(script: Script, frame_index: int, width: int, height: int) -> Picture:
    """Draw one frame of a world."""
    drawn_picture = _draw_scene(script, frame_index, width, height)
    put_timecode(drawn_picture, frame_index)
    return drawn_picture


def draw_all(script: Script, width: int, height: int) -> Picture:
    """Draw all frames of a world, each scene once: frame after frame shows the same one, but for the timecode."""
    drawn_frames = np.empty((script.frames, height, width, 3), np.uint8)
    picture_by_scene: dict[tuple[tuple[Sprite, ...], int], Picture] = {}
    for frame_index in range(script.frames):
        scene = script.scene(frame_index), frame_index % width if script.drifts else 0
        if scene not in picture_by_scene:
            picture_by_scene[scene] = _draw_scene(script, frame_index, width, height)
        drawn_frames[frame_index] = picture_by_scene[scene]
        put_timecode(drawn_frames[frame_index], frame_index)
    return drawn_frames


def _draw_scene(script: Script, frame_index: int, width: int, height: int) -> Picture:
    """A frame without its timecode."""
    drawn_picture = backdrop(script.seed, width, height)
    drawn_picture = np.roll(drawn_picture, frame_index, axis=1) if script.drifts else drawn_picture.copy()
    for sprite in script.scene(frame_index):
        _draw_sprite(drawn_picture, sprite, script.radius)
    return drawn_picture


def picture_rows(height: int) -> int:
    """Rows above the strip."""
    return height - height // STRIP


def read_timecode(picture: Picture) -> int | None:
    """The frame index in a picture's timecode; None where none can be read, in a foreign or a damaged picture."""
    height, width = picture.shape[:2]
    timecode_strip = picture[picture_rows(height) :, : width // CELLS * CELLS]
    if not timecode_strip.size:
        return None
    white_cells = timecode_strip.reshape(timecode_strip.shape[0], CELLS, -1).mean(axis=(0, 2)) > WHITE // 2
    timecode = sum(int(is_white) << bit_index for bit_index, is_white in enumerate(white_cells))
    frame_index = timecode & ((1 << INDEX_BITS) - 1)
    return frame_index if timecode >> INDEX_BITS == _check_sum(frame_index) else None


def _check_sum(frame_index: int) -> int:
    return (frame_index * KEY + 11) % (1 << (CELLS - INDEX_BITS))


def put_timecode(picture: Picture, frame_index: int) -> None:
    height, width = picture.shape[:2]
    timecode = frame_index | _check_sum(frame_index) << INDEX_BITS
    cell_values = np.array([timecode >> bit_index & 1 for bit_index in range(CELLS)], np.uint8) * WHITE
    cell_width = width // CELLS
    picture[picture_rows(height) :, : cell_width * CELLS] = np.repeat(cell_values, cell_width)[None, :, None]


@lru_cache(maxsize=8)
def backdrop(seed: int, width: int, height: int) -> Picture:
    """A dim texture that wraps around: random colours on a coarse grid, joined linearly, with a little grain."""
    rng = Random(f"backdrop {seed}")
    darkest_level, brightest_level = TEXTURE
    grid_colours = np.frombuffer(rng.randbytes(GRAIN * GRAIN * 3), np.uint8).reshape(GRAIN, GRAIN, 3)
    grid_colours = darkest_level + grid_colours.astype(np.int32) * (brightest_level - darkest_level) // 255
    texture_pixels = _interpolate(_interpolate(grid_colours, height, 0), width, 1)
    grain_pixels = np.frombuffer(rng.randbytes(width * height), np.uint8).reshape(height, width, 1).astype(np.int32)
    return (texture_pixels + grain_pixels // 16 - 8).astype(np.uint8)


def _interpolate(grid: NDArray[np.int32], target_length: int, axis: int) -> NDArray[np.int32]:
    """Linear interpolation along one axis, in integers; the last cell leads back to the first."""
    cell_count = grid.shape[axis]
    scaled_positions = np.arange(target_length) * cell_count
    left_cells, right_weight = scaled_positions // target_length, scaled_positions % target_length
    right_weight = right_weight.reshape([-1 if axis_index == axis else 1 for axis_index in range(3)])
    left_values, right_values = grid.take(left_cells, axis), grid.take((left_cells + 1) % cell_count, axis)
    return (left_values * (target_length - right_weight) + right_values * right_weight) // target_length


def _draw_sprite(picture: Picture, sprite: Sprite, radius: int) -> None:
    height, width = picture.shape[:2]
    short_side_px = min(width, height)
    shape_mask = _shape_mask(sprite.shape, 2 * radius * short_side_px // UNITS)
    side_px, picture_height = shape_mask.shape[0], picture_rows(height)
    left_column = (width - side_px) * sprite.place[0] // 1000
    top_row = (picture_height - side_px) * sprite.place[1] // 1000
    picture[top_row : top_row + side_px, left_column : left_column + side_px][shape_mask] = COLOURS[sprite.colour]
    dot_px = DOT * short_side_px // UNITS
    for dot_index in range(sprite.dots):
        dot_left = width * (2 * dot_index + 1) // (2 * MAX_DOTS) - dot_px // 2
        picture[dot_px // 2 : dot_px // 2 + dot_px, dot_left : dot_left + dot_px] = WHITE


@lru_cache(maxsize=64)
def _shape_mask(shape: str, side_px: int) -> NDArray[np.bool_]:
    # twice the distance from the centre, so that it is an integer
    offsets_down, offsets_across = np.mgrid[0:side_px, 0:side_px] * 2 - (side_px - 1)
    if shape == "circle":
        return offsets_down**2 + offsets_across**2 <= side_px**2
    if shape == "diamond":
        return np.abs(offsets_down) + np.abs(offsets_across) <= side_px
    if shape == "triangle":
        return 2 * np.abs(offsets_across) <= offsets_down + side_px
    return np.ones((side_px, side_px), bool)
