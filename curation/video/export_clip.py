"""The clip of a look as an mp4 of its own, for trainers that can't cut clips themselves."""

from __future__ import annotations

import io

import av
from av.video.frame import VideoFrame

from dmforge.curation.video.read_frames import read_grid
from dmforge.schemas.frames import FramePlan

NEAR_LOSSLESS = {"preset": "veryfast", "crf": "14", "threads": "1", "flags": "+bitexact", "x264-params": "mbtree=0"}


def cut_look(grid: bytes, plan: FramePlan) -> bytes:
    """The clip of a look as mp4: exactly the frames of the plan, at its density."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        frames = read_grid(grid, plan.indices)
        stream = container.add_stream("libx264", rate=plan.actual_fps, options=NEAR_LOSSLESS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in frames:
            container.mux(stream.encode(VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()
