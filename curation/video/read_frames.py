"""Reads frames of renditions by their index, from files or from the bytes that a shard holds.

dmforge writes renditions itself, so an index is a time; a missing frame is an error. Teachers, students and exports have the
frames of looks from `read_look`, so all are shown the same pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from dmforge.curation.video.decoders import Frames, in_request_order
from dmforge.curation.video.media import HINT
from dmforge.curation.video.renditions import COARSE_RATE
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import LakeError
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size

SWS_ACCURATE_RND, SWS_BITEXACT = 0x40000, 0x80000
"""Flags of FFmpeg's scaler that PyAV has no names for."""
SCALER = int(Interpolation.AREA) | SWS_ACCURATE_RND | SWS_BITEXACT
"""Averages areas, and gives the same pixels on every CPU."""


def read_look(clips: Clips, video: Video, look: Look, grid_source: Path | bytes) -> Frames:
    """The frames of a look at the size at which they are shown: where all looks have one, they are stored so."""
    frame_plan, frame_size = clips.shown(video, look)
    target_size = None if clips.look_size == "fixed" else frame_size
    return _read(grid_source, frame_plan.indices, Fraction(GRID_FPS), gop_frames=GRID_FPS, size=target_size)


def read_coarse(source: Path | bytes, frame_indices: Sequence[int]) -> Frames:
    """Frames of a coarse rendition."""
    return _read(source, frame_indices, COARSE_RATE, gop_frames=None)


def read_grid(source: Path | bytes, frame_indices: Sequence[int]) -> Frames:
    """Frames of the grid, as large as they are stored."""
    return _read(source, frame_indices, Fraction(GRID_FPS), gop_frames=GRID_FPS)


def stream_grid(source: Path | bytes, frame_indices: Sequence[int]) -> Iterator[Frames]:
    """Frames of the grid one by one, ascending, so that a whole video can be read, however long."""
    return (frame_pixels for _, frame_pixels in _decode_rgb(source, frame_indices, Fraction(GRID_FPS), GRID_FPS))


def _read(
    source: Path | bytes, frame_indices: Sequence[int], rate_fps: Fraction, gop_frames: int | None, size: Size | None = None
) -> Frames:
    return in_request_order(
        frame_indices, lambda ascending_indices: _decode_rgb(source, ascending_indices, rate_fps, gop_frames, size)
    )


def _decode_rgb(
    source: Path | bytes, frame_indices: Sequence[int], rate_fps: Fraction, gop_frames: int | None, size: Size | None = None
) -> Iterator[tuple[int, Frames]]:
    """The frames of these indices in RGB, ascending, as they are stored or at a smaller size; an error where one is missing."""
    reformatter = VideoReformatter()
    try:
        for frame_index, frame in _decode(source, frame_indices, rate_fps, gop_frames):
            if size is None or (frame.width, frame.height) == (size.width, size.height):
                rgb_frame = reformatter.reformat(frame, format="rgb24")
            else:
                rgb_frame = reformatter.reformat(frame, size.width, size.height, "rgb24", interpolation=SCALER)
            yield frame_index, np.asarray(rgb_frame.to_ndarray(), np.uint8)
    except FFmpegError as error:
        raise LakeError(f"the rendition can't be read: {error.strerror}", where=_describe(source), hint=HINT) from None


def _decode(
    source: Path | bytes, wanted_indices: Sequence[int], rate_fps: Fraction, gop_frames: int | None
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames of these indices; decoding skips to the GOP that holds the next one."""
    with _open(source) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        tick_s = stream.time_base or 1 / rate_fps
        frame_index, decoded_frames = -1, container.decode(stream)
        for wanted_index in wanted_indices:
            if gop_frames is not None and wanted_index // gop_frames > (frame_index + 1) // gop_frames:
                container.seek(int(wanted_index // gop_frames * gop_frames / rate_fps / tick_s), stream=stream)
                decoded_frames = container.decode(stream)
            frame = next(
                (
                    decoded_frame
                    for decoded_frame in decoded_frames
                    if (frame_index := round((decoded_frame.pts or 0) * tick_s * rate_fps)) >= wanted_index
                ),
                None,
            )
            if frame is None or frame_index != wanted_index:
                raise LakeError(f"the rendition has no frame {wanted_index}", where=_describe(source), hint=HINT)
            yield wanted_index, frame


def _open(source: Path | bytes) -> InputContainer:
    return av.open(io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}", "r")


def _describe(source: Path | bytes) -> str:
    return "a rendition in a shard" if isinstance(source, bytes) else str(source)
