"""How large a frame is displayed, and how it is turned: what is stored is often neither upright nor of square pixels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dmforge.curation.video.errors import Unusable


def rotation_of(frame: VideoFrame, path: Path) -> int:
    """Degrees clockwise that a stored frame is turned by to be seen upright: 0, 90, 180 or 270; mirrored ones are refused."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0
    (a, b), (c, d) = np.frombuffer(bytes(matrix), "<i4").reshape(3, 3)[:2, :2].astype(float) / (1 << 16)
    turns = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}
    turn = turns.get((round(a, 3), round(b, 3), round(c, 3), round(d, 3)))
    if turn is None:
        raise Unusable("orientation", "its picture is mirrored, scaled or turned by no right angle", where=str(path))
    return turn


def displayed_size(width: int, height: int, aspect: Fraction, turn: int) -> tuple[int, int]:
    """Of a stored picture, in square pixels, once it is turned upright; the side that is too short grows."""
    if aspect > 1:
        width = round(width * aspect)
    else:
        height = round(height / aspect)
    return (height, width) if turn % 180 else (width, height)


def aspect_of(stream: VideoStream) -> Fraction:
    """Width of a stored pixel over its height; what makes no sense is taken for square."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return aspect if aspect and Fraction(1, 10) < aspect < 10 else Fraction(1)
