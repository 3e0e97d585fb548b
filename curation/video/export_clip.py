"""Clips as mp4s of their own, for trainers that can't cut clips themselves: each frame at its time in the video.

A look is cut from the grid and encoded anew, in the grid's own colours; an overview has its frames already, and only its clock
is set. Both begin at the time of their first frame, so a reader that asks for times learns those that were shown.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import chain, pairwise

import av
from av.error import FFmpegError
from av.video.frame import PictureType

from dmforge.curation.video.encode_h264 import BITEXACT, encoding_h264
from dmforge.curation.video.media import HINT
from dmforge.curation.video.read_frames import IN_A_SHARD, stream_look
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import LakeError
from dmforge.schemas.frames import FramePlan
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size

TICKS_PER_S = 90_000
"""The clock of exported files. It says a time on the grid exactly, and that of a frame of an overview to 6 microseconds."""
NEAR_LOSSLESS = {"preset": "ultrafast", "crf": "18", "threads": "1", "flags": "+bitexact"}
"""No frame waits for a later one, so packets come in the order of frames."""
MUXER = {**BITEXACT, "movie_timescale": str(TICKS_PER_S)}
"""In the clock of the whole file stands when its first frame is shown."""


def cut_look(clips: Clips, video: Video, look: Look, grid_bytes: bytes) -> bytes:
    """The clip of a look: exactly the frames that it shows."""
    frame_plan, frames = clips.look(video, look), stream_look(clips, video, look, grid_bytes)
    ticks, first_frame = ticks_of(frame_plan), next(frames)
    size, durations = Size(first_frame.width, first_frame.height), _durations(ticks, frame_plan.actual_fps)
    mp4_buffer, time_base = io.BytesIO(), Fraction(1, TICKS_PER_S)
    with encoding_h264(
        mp4_buffer,
        size,
        frame_plan.actual_fps,
        NEAR_LOSSLESS,
        MUXER,
        time_base=time_base,
        durations=dict(zip(ticks, durations, strict=True)),
    ) as encode_frame:
        for tick, frame in zip(ticks, chain([first_frame], frames), strict=True):
            frame.pts, frame.time_base, frame.pict_type = tick, time_base, PictureType.NONE
            encode_frame(frame)
    return mp4_buffer.getvalue()


def set_clock(frame_plan: FramePlan, coarse_bytes: bytes) -> bytes:
    """An overview whose frames have the times at which they are shown; nothing is encoded anew."""
    ticks = ticks_of(frame_plan)
    mp4_buffer = io.BytesIO()
    try:
        with (
            av.open(io.BytesIO(coarse_bytes), "r") as source,
            av.open(mp4_buffer, "w", format="mp4", options=MUXER) as target,
        ):
            coarse_stream = source.streams.video[0]
            stream = target.add_stream_from_template(coarse_stream)
            stream.time_base = Fraction(1, TICKS_PER_S)
            packets = [packet for packet in source.demux(coarse_stream) if packet.size]
            if len(packets) != len(ticks):
                raise LakeError(f"an overview has {len(packets)} frames, not {len(ticks)}", where=IN_A_SHARD, hint=HINT)
            for tick, duration, packet in zip(ticks, _durations(ticks, frame_plan.actual_fps), packets, strict=True):
                packet.stream, packet.time_base = stream, stream.time_base
                packet.pts = packet.dts = tick
                packet.duration = duration
                target.mux(packet)
    except FFmpegError as error:
        raise LakeError(f"an overview can't be read: {error.strerror}", where=IN_A_SHARD, hint=HINT) from None
    return mp4_buffer.getvalue()


def ticks_of(frame_plan: FramePlan) -> list[int]:
    """The times of frames on the clock of a file; a frame that is shown twice is a tick later the second time."""
    ticks: list[int] = []
    for time_s in frame_plan.times_s:
        ticks.append(max(round(time_s * TICKS_PER_S), ticks[-1] + 1 if ticks else 0))
    return ticks


def _durations(ticks: Sequence[int], fps: Fraction) -> list[int]:
    """How long each frame is shown; the last one as long as frames of this density are."""
    return [*(later - earlier for earlier, later in pairwise(ticks)), round(TICKS_PER_S / fps)]
