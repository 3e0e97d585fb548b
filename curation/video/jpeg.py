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
    jpeg_encoder = av.CodecContext.create("mjpeg", "w")
    jpeg_encoder.width, jpeg_encoder.height, jpeg_encoder.pix_fmt = width, height, FORMAT
    jpeg_encoder.time_base, jpeg_encoder.qmin, jpeg_encoder.qmax, jpeg_encoder.thread_count = (
        Fraction(1, 1),
        QUALITY,
        QUALITY,
        1,
    )
    to_yuv = VideoReformatter()
    jpegs: list[bytes] = []
    for frame_index, frame in enumerate(frames):
        yuv_frame = to_yuv.reformat(av.VideoFrame.from_ndarray(frame, format="rgb24"), format=FORMAT)
        yuv_frame.pts = frame_index
        jpegs += map(bytes, jpeg_encoder.encode(yuv_frame))
    return [*jpegs, *map(bytes, jpeg_encoder.encode(None))]


class NoImage(InputError):
    """One of several images is no JPEG; `index` says which."""

    def __init__(self, index: int) -> None:
        super().__init__("not a JPEG", where=f"image {index}", hint="send JPEG images")
        self.index = index


def from_jpeg(jpegs: Sequence[bytes]) -> list[NDArray[np.uint8]]:
    """Decode JPEGs, each of any size."""
    to_rgb = VideoReformatter()
    rgb_frames = (to_rgb.reformat(_decode_jpeg(jpeg, jpeg_index), format="rgb24") for jpeg_index, jpeg in enumerate(jpegs))
    return [np.asarray(rgb_frame.to_ndarray(), np.uint8) for rgb_frame in rgb_frames]


def _decode_jpeg(jpeg: bytes, jpeg_index: int) -> av.VideoFrame:
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    try:
        decoded_frames = [*decoder.decode(av.Packet(jpeg)), *decoder.decode(None)]
    except FFmpegError:
        decoded_frames = []
    if len(decoded_frames) != 1:
        raise NoImage(jpeg_index)
    return decoded_frames[0]
