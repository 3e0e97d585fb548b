"""How large a frame is displayed, and how it is turned: what is stored is often neither upright nor of square pixels."""

from __future__ import annotations

from fractions import Fraction

from av.video.frame import VideoFrame
from av.video.stream import VideoStream


def rotation_of(frame: VideoFrame) -> int:
    """Degrees clockwise that a stored frame is turned by to be seen upright: 0, 90, 180 or 270."""
    return round(-frame.rotation / 90) * 90 % 360


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
