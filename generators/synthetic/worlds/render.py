"""Renders a world as an H.264 file: the same bytes for the same script, with the libx264 inside PyAV, on one thread."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from dmforge.curation.video.encode_h264 import encoding_h264
from dmforge.generators.synthetic.worlds.rasterize import Picture, draw_all
from dmforge.generators.synthetic.worlds.script import FPS, Script
from dmforge.schemas.sizes import Size

# mbtree reads uninitialised memory where frames are small: bytes would differ from run to run
ENCODER = {"preset": "veryfast", "crf": "18", "threads": "1", "flags": "+bitexact", "x264-params": "mbtree=0"}


def render(script: Script, width: int, height: int) -> bytes:
    """Render a world as an mp4."""
    mp4_buffer = io.BytesIO()
    with encoding_h264(mp4_buffer, Size(width, height), FPS, ENCODER) as encode_frame:
        for frame_index, yuv_planes in enumerate(_planes(draw_all(script, width, height))):
            av_frame = av.VideoFrame.from_ndarray(yuv_planes, format="yuv420p")
            av_frame.pts, av_frame.time_base = frame_index, Fraction(1, FPS)
            encode_frame(av_frame)
    return mp4_buffer.getvalue()


def _planes(pictures: Picture) -> NDArray[np.uint8]:
    """Planes of YUV 4:2:0, by BT.601 in integers: a scaler's own arithmetic may differ from one machine to the next."""
    red_channel, green_channel, blue_channel = np.moveaxis(pictures.astype(np.int32), 3, 0)
    luma_plane = (66 * red_channel + 129 * green_channel + 25 * blue_channel + 128 >> 8) + 16
    frame_count, height, width = luma_plane.shape
    red_channel, green_channel, blue_channel = map(_sum_blocks, (red_channel, green_channel, blue_channel))
    blue_chroma = (-38 * red_channel - 74 * green_channel + 112 * blue_channel + 512 >> 10) + 128
    red_chroma = (112 * red_channel - 94 * green_channel - 18 * blue_channel + 512 >> 10) + 128
    flat_planes = np.concatenate(
        [yuv_plane.reshape(frame_count, -1) for yuv_plane in (luma_plane, blue_chroma, red_chroma)], axis=1
    )
    return flat_planes.astype(np.uint8).reshape(frame_count, height * 3 // 2, width)


def _sum_blocks(channel: NDArray[np.int32]) -> NDArray[np.int32]:
    """The sum of each 2 x 2 pixels: one value of chroma."""
    row_sums = channel[:, 0::2] + channel[:, 1::2]
    return row_sums[:, :, 0::2] + row_sums[:, :, 1::2]
