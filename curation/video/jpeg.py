"""Encodes frames as JPEG, the form in which they travel to a teacher, and decodes them again."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from dmforge.curation.video.decoders import Frames
from dmforge.schemas.errors import InputError

QUALITY = 2
"""The quantiser, 2 to 31: 2 is hardly to be told from the original."""
FORMAT = "yuvj444p"
"""Colour at full size: on small frames, half of it would blur what a question is about."""
ENCODING = f"jpeg q{QUALITY}"
"""The encoding's name in the key under which a teacher's answer is kept."""


def to_jpeg(frames: Frames) -> list[bytes]:
    """Each frame as a JPEG of its own."""
    _, height, width, _ = frames.shape
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, FORMAT
    encoder.time_base, encoder.qmin, encoder.qmax, encoder.thread_count = Fraction(1, 1), QUALITY, QUALITY, 1
    to_yuv = VideoReformatter()
    images: list[bytes] = []
    for index, frame in enumerate(frames):
        picture = to_yuv.reformat(av.VideoFrame.from_ndarray(frame, format="rgb24"), format=FORMAT)
        picture.pts = index
        images += map(bytes, encoder.encode(picture))
    return [*images, *map(bytes, encoder.encode(None))]


class NoImage(InputError):
    """One of several images is no JPEG; `index` says which."""

    def __init__(self, index: int) -> None:
        super().__init__("not a JPEG", where=f"image {index}", hint="send JPEG images")
        self.index = index


def from_jpeg(images: Sequence[bytes]) -> list[NDArray[np.uint8]]:
    """Decode JPEGs, each of any size."""
    to_rgb = VideoReformatter()
    frames = (to_rgb.reformat(_decode_jpeg(image, index), format="rgb24") for index, image in enumerate(images))
    return [np.asarray(frame.to_ndarray(), np.uint8) for frame in frames]


def _decode_jpeg(image: bytes, index: int) -> av.VideoFrame:
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    try:
        frames = [*decoder.decode(av.Packet(image)), *decoder.decode(None)]
    except FFmpegError:
        frames = []
    if len(frames) != 1:
        raise NoImage(index)
    return frames[0]
