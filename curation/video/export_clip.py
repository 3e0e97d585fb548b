"""The clip of a look as an mp4 of its own, for trainers that can't cut clips themselves."""

from __future__ import annotations

import io

from av.video.frame import VideoFrame

from dmforge.curation.video.encode_h264 import encoding_h264
from dmforge.curation.video.read_frames import read_grid
from dmforge.schemas.frames import FramePlan
from dmforge.schemas.sizes import Size

NEAR_LOSSLESS = {"preset": "veryfast", "crf": "14", "threads": "1", "flags": "+bitexact", "x264-params": "mbtree=0"}


def cut_look(grid: bytes, plan: FramePlan) -> bytes:
    """The clip of a look as mp4: exactly the frames of the plan, at its density."""
    buffer, frames = io.BytesIO(), read_grid(grid, plan.indices)
    height, width = frames.shape[1:3]
    with encoding_h264(buffer, Size(width, height), plan.actual_fps, NEAR_LOSSLESS) as encode:
        for picture in frames:
            encode(VideoFrame.from_ndarray(picture, format="rgb24"))
    return buffer.getvalue()
