"""The clip of a look as an mp4 of its own, for trainers that can't cut clips themselves."""

from __future__ import annotations

import io

from av.video.frame import VideoFrame

from dmforge.curation.video.encode_h264 import encoding_h264
from dmforge.curation.video.read_frames import read_look
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size

NEAR_LOSSLESS = {"preset": "veryfast", "crf": "14", "threads": "1", "flags": "+bitexact", "x264-params": "mbtree=0"}


def cut_look(clips: Clips, video: Video, look: Look, grid_bytes: bytes) -> bytes:
    """The clip of a look as mp4: exactly the frames that it shows, at its density."""
    mp4_buffer, look_frames = io.BytesIO(), read_look(clips, video, look, grid_bytes)
    height, width = look_frames.shape[1:3]
    with encoding_h264(mp4_buffer, Size(width, height), clips.look(video, look).actual_fps, NEAR_LOSSLESS) as encode_frame:
        for frame_pixels in look_frames:
            encode_frame(VideoFrame.from_ndarray(frame_pixels, format="rgb24"))
    return mp4_buffer.getvalue()
