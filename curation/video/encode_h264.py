"""Encodes frames as an mp4 whose bytes follow from them alone: libx264 on one thread, and no date or version in the file."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from types import MappingProxyType

import av
from av.video.frame import VideoFrame

from dmforge.schemas.sizes import Size

BITEXACT = {"fflags": "+bitexact"}
"""Options of the file format without which each file would be another one."""
NO_DURATIONS: Mapping[int, int] = MappingProxyType({})


@contextmanager
def encoding_h264(
    target: str | io.BytesIO,
    size: Size,
    rate_fps: Fraction | int,
    encoder_options: Mapping[str, str],
    muxer_options: Mapping[str, str] = BITEXACT,
    *,
    time_base: Fraction | None = None,
    durations: Mapping[int, int] = NO_DURATIONS,
) -> Generator[Callable[[VideoFrame], None]]:
    """Give a function that encodes the next frame; the file is complete when the block ends well. Frames follow each other at
    the rate, or have times of their own in a time base, and durations by these times."""
    with av.open(target, "w", format="mp4", options=dict(muxer_options)) as mp4_container:
        video_stream = mp4_container.add_stream("libx264", rate=rate_fps, options=dict(encoder_options))
        video_stream.width, video_stream.height, video_stream.pix_fmt = size.width, size.height, "yuv420p"
        # PyAV's own default would win over the option, and more threads give other bytes from run to run
        video_stream.codec_context.thread_count = 1
        if time_base is not None:
            video_stream.codec_context.time_base = time_base

        def mux(frame: VideoFrame | None) -> None:
            for packet in video_stream.encode(frame):
                if packet.pts is not None and packet.pts in durations:
                    packet.duration = durations[packet.pts]
                mp4_container.mux(packet)

        yield mux
        mux(None)
