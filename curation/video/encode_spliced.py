"""Splices parts of several videos into one file, encoded as a whole: only the pictures show where one part ends.

Parts are taken from renditions, so a frame of the file is a known frame of a known video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from dmforge.curation.video.decoders import Frames
from dmforge.curation.video.encode_h264 import encoding_h264
from dmforge.curation.video.media import Media
from dmforge.curation.video.read_frames import stream_grid
from dmforge.curation.video.renditions import GRID, MUXER
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.sizes import Size

ENCODER_OPTIONS = {**GRID, "crf": "14"}
"""Finer than a rendition, which will be made from this file; the same GOPs throughout, wherever parts meet."""


@dataclass(frozen=True, slots=True)
class FrameRun:
    """A range of frames of a video's grid, from `first` up to `stop`, exclusive."""

    media: Media
    first: int
    stop: int

    @property
    def frames(self) -> int:
        return self.stop - self.first


def splice(frame_runs: Sequence[FrameRun], path: Path, size: Size, heartbeat: Callable[[], None] = lambda: None) -> None:
    """Write the pieces one after the other, each fitted to the size. The same pieces give the same bytes."""
    to_yuv = VideoReformatter()
    with encoding_h264(f"file:{path}", size, GRID_FPS, ENCODER_OPTIONS, MUXER) as encode_frame:
        for frame_index, frame_pixels in enumerate(_pictures(frame_runs)):
            av_frame = av.VideoFrame.from_ndarray(_crop_to_aspect(frame_pixels, size), format="rgb24")
            av_frame = to_yuv.reformat(av_frame, size.width, size.height, "yuv420p", interpolation=Interpolation.BICUBIC)
            av_frame.pts, av_frame.time_base = frame_index, Fraction(1, GRID_FPS)
            encode_frame(av_frame)
            heartbeat()


def _pictures(frame_runs: Sequence[FrameRun]) -> Iterator[Frames]:
    for frame_run in frame_runs:
        yield from stream_grid(frame_run.media.grid, range(frame_run.first, frame_run.stop))


def _crop_to_aspect(frame_pixels: Frames, size: Size) -> Frames:
    """The middle of a picture, in the aspect ratio of `size`: black bars would show that a part is from elsewhere."""
    frame_height, frame_width = frame_pixels.shape[:2]
    crop_height = min(frame_height, frame_width * size.height // size.width)
    crop_width = min(frame_width, frame_height * size.width // size.height)
    top_row, left_column = (frame_height - crop_height) // 2, (frame_width - crop_width) // 2
    return np.ascontiguousarray(frame_pixels[top_row : top_row + crop_height, left_column : left_column + crop_width])
