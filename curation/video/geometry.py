"""The displayed size and the rotation of frames: stored ones are often neither upright nor of square pixels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dmforge.curation.video.unusable import UnusableVideo


def rotation_of(frame: VideoFrame, path: Path) -> int:
    """Degrees clockwise that a stored frame is turned by to be seen upright: 0, 90, 180 or 270; mirrored ones are refused."""
    display_matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if display_matrix is None:
        return 0
    (a, b), (c, d) = np.frombuffer(bytes(display_matrix), "<i4").reshape(3, 3)[:2, :2].astype(float) / (1 << 16)
    degrees_by_matrix = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}
    rotation_deg = degrees_by_matrix.get((round(a, 3), round(b, 3), round(c, 3), round(d, 3)))
    if rotation_deg is None:
        raise UnusableVideo("orientation", "its picture is mirrored, scaled or turned by no right angle", where=str(path))
    return rotation_deg


def displayed_size(stored_width: int, stored_height: int, pixel_aspect: Fraction, rotation_deg: int) -> tuple[int, int]:
    """The size of a stored picture once it is upright and its pixels are square; the side that is too short grows."""
    if pixel_aspect > 1:
        stored_width = round(stored_width * pixel_aspect)
    else:
        stored_height = round(stored_height / pixel_aspect)
    return (stored_height, stored_width) if rotation_deg % 180 else (stored_width, stored_height)


def pixel_aspect_of(stream: VideoStream) -> Fraction:
    """Width of a stored pixel over its height; implausible values are taken for square."""
    pixel_aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return pixel_aspect if pixel_aspect and Fraction(1, 10) < pixel_aspect < 10 else Fraction(1)
