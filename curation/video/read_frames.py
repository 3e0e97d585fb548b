"""Reads frames of renditions by their index, from files or from the bytes that a shard holds.

dmforge writes renditions itself, so an index is a time; a missing frame is an error. Teachers, students and exports have the
frames of looks from `read_look`, so all are shown the same pixels.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import repeat
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from dmforge.curation.video.decoders import Frames, in_request_order
from dmforge.curation.video.media import HINT, check_rendition
from dmforge.curation.video.renditions import COARSE_RATE
from dmforge.schemas.clips import Clips
from dmforge.schemas.crops import Crop, plan_crop
from dmforge.schemas.errors import LakeError
from dmforge.schemas.frames import GRID_FPS, FramePlan
from dmforge.schemas.looks import Box, Look
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size

SWS_ACCURATE_RND, SWS_BITEXACT = 0x40000, 0x80000
"""Flags of FFmpeg's scaler that PyAV has no names for."""
SCALER = int(Interpolation.AREA) | SWS_ACCURATE_RND | SWS_BITEXACT
"""Averages areas, and gives the same pixels on every CPU."""

IN_A_SHARD = "a rendition in a shard"
"""Where bytes come from, in the words of an error."""


def read_look(clips: Clips, video: Video, look: Look, grid_source: Path | bytes) -> Frames:
    """The frames of a look, cropped to its box, at the size at which they are shown; where all looks have one, as stored."""
    frame_plan, size, crop = _pictures_of(clips, video, look)
    return _read(grid_source, frame_plan.indices, Fraction(GRID_FPS), gop_frames=GRID_FPS, size=size, crop=crop)


def stream_look(clips: Clips, video: Video, look: Look, grid_source: Path | bytes) -> Iterator[VideoFrame]:
    """The frames of `read_look` one by one, in the colours in which the grid is stored."""
    frame_plan, size, crop = _pictures_of(clips, video, look)
    shown_times = Counter(frame_plan.indices)
    for index, frame in _decode_shown(grid_source, sorted(shown_times), Fraction(GRID_FPS), GRID_FPS, size, crop, "yuv420p"):
        yield from repeat(frame, shown_times[index])


def _pictures_of(clips: Clips, video: Video, look: Look) -> tuple[FramePlan, Size | None, Crop | None]:
    """Which frames a look shows, at which size, where that isn't as they are stored, and which part of them."""
    frame_plan, size = clips.shown(video, look)
    is_stored = clips.look_size == "fixed" and not look.has_limits
    return frame_plan, None if is_stored else size, clips.crop(video, look)


def read_coarse(source: Path | bytes, frame_indices: Sequence[int]) -> Frames:
    """Frames of a coarse rendition."""
    return _read(source, frame_indices, COARSE_RATE, gop_frames=None)


def read_grid(source: Path | bytes, indices: Sequence[int], box: Box | None = None) -> Frames:
    """Frames of the grid, or the part in a box, as large as they are stored."""
    frames = _read(source, indices, Fraction(GRID_FPS), gop_frames=GRID_FPS)
    crop = plan_crop(box, Size(frames.shape[2], frames.shape[1])) if box else None
    return frames if crop is None else frames[:, crop.top :, crop.left :][:, : crop.height, : crop.width]


def stream_grid(source: Path | bytes, frame_indices: Sequence[int]) -> Iterator[Frames]:
    """Frames of the grid one by one, ascending, so that a whole video can be read, however long."""
    return (frame_pixels for _, frame_pixels in _decode_rgb(source, frame_indices, Fraction(GRID_FPS), GRID_FPS))


def _read(
    source: Path | bytes,
    indices: Sequence[int],
    rate_fps: Fraction,
    gop_frames: int | None,
    size: Size | None = None,
    crop: Crop | None = None,
) -> Frames:
    return in_request_order(indices, lambda ascending: _decode_rgb(source, ascending, rate_fps, gop_frames, size, crop))


def _decode_rgb(
    source: Path | bytes,
    frame_indices: Sequence[int],
    rate_fps: Fraction,
    gop_frames: int | None,
    size: Size | None = None,
    crop: Crop | None = None,
) -> Iterator[tuple[int, Frames]]:
    """The frames of these indices in RGB, ascending, as they are stored or at a smaller size; an error where one is missing."""
    for frame_index, frame in _decode_shown(source, frame_indices, rate_fps, gop_frames, size, crop, "rgb24"):
        yield frame_index, np.asarray(frame.to_ndarray(), np.uint8)


def _decode_shown(
    source: Path | bytes,
    frame_indices: Sequence[int],
    rate_fps: Fraction,
    gop_frames: int | None,
    size: Size | None,
    crop: Crop | None,
    pixel_format: str,
) -> Iterator[tuple[int, VideoFrame]]:
    reformatter = VideoReformatter()
    try:
        for frame_index, stored_frame in _decode(source, frame_indices, rate_fps, gop_frames):
            frame = stored_frame if crop is None else _cropped(stored_frame, crop, source)
            if size is None or (frame.width, frame.height) == (size.width, size.height):
                yield frame_index, reformatter.reformat(frame, format=pixel_format)
            else:
                yield frame_index, reformatter.reformat(frame, size.width, size.height, pixel_format, interpolation=SCALER)
    except FFmpegError as error:
        raise LakeError(f"the rendition can't be read: {error.strerror}", where=_describe(source), hint=HINT) from None


def _cropped(frame: VideoFrame, crop: Crop, source: Path | bytes) -> VideoFrame:
    """A part of a frame as it is stored, in its own colours: so the scaler takes it as it takes a whole one."""
    if Size(frame.width, frame.height) != crop.picture or frame.format.name != "yuv420p":
        sizes = f"{frame.width} x {frame.height}, and {crop.picture.width} x {crop.picture.height} are needed"
        raise LakeError(f"the rendition has frames of {sizes}", where=_describe(source), hint=HINT)
    planes: list[Frames] = []
    stored_planes = np.asarray(frame.to_ndarray(), np.uint8).reshape(-1)
    for share, plane_start in ((1, 0), (2, 4), (2, 5)):  # brightness, then two colours of half its sides; starts in quarters
        width, height = frame.width // share, frame.height // share
        plane_offset = plane_start * frame.width * frame.height // 4
        plane = stored_planes[plane_offset : plane_offset + width * height].reshape(height, width)
        rows = plane[crop.top // share : (crop.top + crop.height) // share]
        planes.append(rows[:, crop.left // share : (crop.left + crop.width) // share].reshape(-1))
    cropped_frame = VideoFrame.from_ndarray(np.concatenate(planes).reshape(-1, crop.width), format="yuv420p")
    cropped_frame.colorspace, cropped_frame.color_range = frame.colorspace, frame.color_range
    return cropped_frame


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
    if isinstance(source, Path):
        check_rendition(source)
    return av.open(io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}", "r")


def _describe(source: Path | bytes) -> str:
    return IN_A_SHARD if isinstance(source, bytes) else str(source)
