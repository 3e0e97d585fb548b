"""Turns frames into patches in the order in which Qwen3-VL reads them, bit for bit as its Hugging Face video processor does.

Frames lie on the grid already, so nothing is resized and torchvision isn't needed. Patches travel as bytes, a quarter of what
floats would take, and are normalised where the model is.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dmforge.generators.footage import Pixels

PATCH = 16
"""Pixels on each side of a patch."""
MERGE = 2
"""Patches on each side of a square that becomes one visual token."""
FRAMES = 2
"""Frames of a temporal patch."""
MIDDLE = 127.5
"""Mean .5 and deviation .5 of pixels between 0 and 1, as the processor fuses them with the division by 255."""
PATCH_VALUES = 3 * FRAMES * PATCH * PATCH
"""Numbers in a patch: colour x frame x row x column."""


def patchify(frames: Pixels) -> NDArray[np.uint8]:
    """The patches of some frames, one a row. An odd last frame is repeated."""
    if len(frames) % FRAMES:
        frames = np.concatenate([frames, frames[-1:]])
    frame_count, height, width, _ = frames.shape
    cell_blocks = frames.reshape(
        frame_count // FRAMES, FRAMES, height // PATCH // MERGE, MERGE, PATCH, width // PATCH // MERGE, MERGE, PATCH, 3
    )
    # time, cell down, cell across, patch down, patch across | colour, frame, row, column
    ordered_blocks = cell_blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return np.ascontiguousarray(ordered_blocks).reshape(-1, PATCH_VALUES)


def grid_of(frames: Pixels) -> tuple[int, int, int]:
    """How many patches some frames have in time, down and across."""
    frame_count, height, width, _ = frames.shape
    return -(-frame_count // FRAMES), height // PATCH, width // PATCH


def frames_of(patches: NDArray[np.uint8], grid: tuple[int, int, int]) -> Pixels:
    """The inverse of `patchify`: the frames of some patches, an odd last one twice."""
    patches_in_time, patches_down, patches_across = grid
    cell_blocks = patches.reshape(
        patches_in_time, patches_down // MERGE, patches_across // MERGE, MERGE, MERGE, 3, FRAMES, PATCH, PATCH
    )
    # frame, cell down, patch down, row, cell across, patch across, column, colour
    ordered_blocks = cell_blocks.transpose(0, 6, 1, 3, 7, 2, 4, 8, 5)
    return np.ascontiguousarray(ordered_blocks).reshape(
        patches_in_time * FRAMES, patches_down * PATCH, patches_across * PATCH, 3
    )


def normalised(patches: torch.Tensor) -> torch.Tensor:
    """Pixels from -1 to 1, as the model takes them, from bytes."""
    return (patches.float() - MIDDLE) / MIDDLE
