"""Frames of renditions, by number. They are our own files, so a number is a time and no frame can be another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from dmforge.curation.video.decoders import Frames
from dmforge.curation.video.media import MEND
from dmforge.curation.video.renditions import COARSE_RATE
from dmforge.schemas.errors import LakeError
from dmforge.schemas.frames import GRID_FPS


def read_coarse(path: Path, indices: Sequence[int]) -> Frames:
    """Frames of a coarse rendition."""
    return _read(path, indices, COARSE_RATE, gop=None)


def read_grid(path: Path, indices: Sequence[int]) -> Frames:
    """Frames of the grid."""
    return _read(path, indices, Fraction(GRID_FPS), gop=GRID_FPS)


def stream_grid(path: Path, indices: Sequence[int]) -> Iterator[Frames]:
    """Frames of the grid one by one, ascending: for those who look at a whole video, however long."""
    to_rgb = VideoReformatter()
    for _, frame in _decoded(path, indices, Fraction(GRID_FPS), GRID_FPS):
        yield np.asarray(to_rgb.reformat(frame, format="rgb24").to_ndarray(), np.uint8)


def _read(path: Path, indices: Sequence[int], rate_fps: Fraction, gop: int | None) -> Frames:
    wanted = sorted(set(indices))
    to_rgb = VideoReformatter()
    pictures: dict[int, Frames] = {}
    try:
        for index, frame in _decoded(path, wanted, rate_fps, gop):
            pictures[index] = np.asarray(to_rgb.reformat(frame, format="rgb24").to_ndarray(), np.uint8)
    except FFmpegError as error:
        raise LakeError(f"the rendition can't be read: {error.strerror}", where=str(path), mend=MEND) from None
    if missing := set(wanted) - pictures.keys():
        raise LakeError(f"the rendition has no frame {min(missing)}", where=str(path), mend=MEND)
    first = pictures[wanted[0]]
    frames = np.empty((len(indices), *first.shape), np.uint8)
    for place, index in enumerate(indices):
        frames[place] = pictures[index]
    return frames


def _decoded(path: Path, wanted: Sequence[int], rate_fps: Fraction, gop: int | None) -> Iterator[tuple[int, VideoFrame]]:
    """The wanted frames; where a GOP begins that holds the next one, decoding goes on from there."""
    with av.open(f"file:{path}", "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        waiting = list(reversed(wanted))
        at = -1
        frames: Iterator[VideoFrame] = iter(())
        while waiting:
            index = waiting.pop()
            if at < 0 or (gop is not None and index // gop > (at + 1) // gop):
                if gop is not None and index >= gop and stream.time_base:
                    container.seek(int(index // gop * gop / rate_fps / stream.time_base), stream=stream)
                frames = container.decode(stream)
            for frame in frames:
                if frame.pts is None or stream.time_base is None:
                    continue
                at = round(frame.pts * stream.time_base * rate_fps)
                if at >= index:
                    break
            if at == index:
                yield index, frame  # pyright: ignore[reportPossiblyUnboundVariable] (`at` was taken from it)
