"""Frames become patches in the order in which Qwen3-VL reads them, bit for bit those of its Hugging Face video processor.

Frames lie on the grid already, so nothing is resized and torchvision isn't needed. Patches travel as bytes, a quarter of what
floats would take, and are normalised where the model is.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dmforge.generators.footage import Pixels

PATCH = 16
"""Pixels a side."""
MERGE = 2
"""Patches a side that become one visual token."""
FRAMES = 2
"""Frames of a temporal patch."""
MIDDLE = 127.5
"""Mean .5 and deviation .5 of pixels between 0 and 1, as the processor fuses them with the division by 255."""
PATCH_VALUES = 3 * FRAMES * PATCH * PATCH
"""Numbers of a patch: colour, frame, row, column."""


def patchify(frames: Pixels) -> NDArray[np.uint8]:
    """A row a patch. An odd last frame is repeated."""
    if len(frames) % FRAMES:
        frames = np.concatenate([frames, frames[-1:]])
    count, height, width, _ = frames.shape
    split = frames.reshape(
        count // FRAMES, FRAMES, height // PATCH // MERGE, MERGE, PATCH, width // PATCH // MERGE, MERGE, PATCH, 3
    )
    # time, cell down, cell across, patch down, patch across | colour, frame, row, column
    ordered = split.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return np.ascontiguousarray(ordered).reshape(-1, PATCH_VALUES)


def grid_of(frames: Pixels) -> tuple[int, int, int]:
    """How many patches there are in time, down and across."""
    count, height, width, _ = frames.shape
    return -(-count // FRAMES), height // PATCH, width // PATCH


def frames_of(patches: NDArray[np.uint8], grid: tuple[int, int, int]) -> Pixels:
    """The inverse: the frames that stand in some patches, an odd last one twice."""
    time, down, across = grid
    split = patches.reshape(time, down // MERGE, across // MERGE, MERGE, MERGE, 3, FRAMES, PATCH, PATCH)
    # frame, cell down, patch down, row, cell across, patch across, column, colour
    ordered = split.transpose(0, 6, 1, 3, 7, 2, 4, 8, 5)
    return np.ascontiguousarray(ordered).reshape(time * FRAMES, down * PATCH, across * PATCH, 3)


def normalised(patches: torch.Tensor) -> torch.Tensor:
    """Bytes as the numbers that the model takes."""
    return (patches.float() - MIDDLE) / MIDDLE
