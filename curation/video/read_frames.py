"""Reads frames of renditions by their index, from files or from the bytes that a shard holds.

dmforge writes renditions itself, so an index is a time; a missing frame is an error.
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
from av.video.reformatter import VideoReformatter

from dmforge.curation.video.decoders import Frames, in_request_order
from dmforge.curation.video.media import HINT
from dmforge.curation.video.renditions import COARSE_RATE
from dmforge.schemas.errors import LakeError
from dmforge.schemas.frames import GRID_FPS


def read_coarse(source: Path | bytes, indices: Sequence[int]) -> Frames:
    """Frames of a coarse rendition."""
    return _read(source, indices, COARSE_RATE, gop=None)


def read_grid(source: Path | bytes, indices: Sequence[int]) -> Frames:
    """Frames of the grid."""
    return _read(source, indices, Fraction(GRID_FPS), gop=GRID_FPS)


def stream_grid(source: Path | bytes, indices: Sequence[int]) -> Iterator[Frames]:
    """Frames of the grid one by one, ascending, so that a whole video can be read, however long."""
    return (picture for _, picture in _decode_rgb(source, indices, Fraction(GRID_FPS), GRID_FPS))


def _read(source: Path | bytes, indices: Sequence[int], rate_fps: Fraction, gop: int | None) -> Frames:
    return in_request_order(indices, lambda ascending: _decode_rgb(source, ascending, rate_fps, gop))


def _decode_rgb(
    source: Path | bytes, indices: Sequence[int], rate_fps: Fraction, gop: int | None
) -> Iterator[tuple[int, Frames]]:
    """The frames of these indices in RGB, ascending; an error where one is missing."""
    to_rgb = VideoReformatter()
    try:
        for index, frame in _decode(source, indices, rate_fps, gop):
            yield index, np.asarray(to_rgb.reformat(frame, format="rgb24").to_ndarray(), np.uint8)
    except FFmpegError as error:
        raise LakeError(f"the rendition can't be read: {error.strerror}", where=_describe(source), hint=HINT) from None


def _decode(
    source: Path | bytes, indices: Sequence[int], rate_fps: Fraction, gop: int | None
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames of these indices; decoding skips to the GOP that holds the next one."""
    with _open(source) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        tick_s = stream.time_base or 1 / rate_fps
        frame_index, frames = -1, container.decode(stream)
        for index in indices:
            if gop is not None and index // gop > (frame_index + 1) // gop:
                container.seek(int(index // gop * gop / rate_fps / tick_s), stream=stream)
                frames = container.decode(stream)
            frame = next(
                (
                    candidate
                    for candidate in frames
                    if (frame_index := round((candidate.pts or 0) * tick_s * rate_fps)) >= index
                ),
                None,
            )
            if frame is None or frame_index != index:
                raise LakeError(f"the rendition has no frame {index}", where=_describe(source), hint=HINT)
            yield index, frame


def _open(source: Path | bytes) -> InputContainer:
    return av.open(io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}", "r")


def _describe(source: Path | bytes) -> str:
    return "a rendition in a shard" if isinstance(source, bytes) else str(source)
