"""PyAV: for foreign files. It seeks only to where decoding may begin, and takes no frame but the very one that was meant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from dmforge.curation.video.decoders import Clip, Frames
from dmforge.curation.video.errors import Unusable
from dmforge.curation.video.geometry import displayed_size
from dmforge.curation.video.timeline import Timeline, ffmpeg_errors, opened, read_timeline
from dmforge.schemas.sizes import Size


class PyAV:
    """The decoder that must be right on everything that can be decoded at all."""

    name = "pyav"

    def read(self, path: Path, times_s: Sequence[Fraction], size: Size | None = None) -> Clip:
        timeline = read_timeline(path)
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, time_s in enumerate(times_s):
            places[timeline.shown_at(time_s)].append(place)
        frames: Frames | None = None
        scaler = VideoReformatter()
        for pts, frame in wanted_frames(timeline, sorted(places)):
            picture = upright(frame, timeline, scaler, size)
            if frames is None:
                frames = np.empty((len(times_s), *picture.shape), np.uint8)
            frames[places[pts]] = picture
        if frames is None:
            raise ValueError("no time was asked for")
        shown = {place: timeline.time_s(pts) for pts, at in places.items() for place in at}
        return Clip(frames, tuple(shown[place] for place in range(len(times_s))))


def wanted_frames(timeline: Timeline, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """The frames with these pts, ascending; each exactly, or an error."""
    for pts, frame in _wanted_frames(timeline, wanted):
        if (frame.width, frame.height) != timeline.stored:
            detail = f"at {float(timeline.time_s(pts)):g} s to {frame.width} x {frame.height}"
            raise Unusable("changes size", detail, where=str(timeline.path))
        yield pts, frame


def _wanted_frames(timeline: Timeline, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    found = 0
    beginning = (None, *timeline.keys[:1])  # some streams mark no keyframe at all
    if any(timeline.key_before(pts) not in beginning for pts in wanted):
        for pts, frame in _by_seeking(timeline, wanted):
            yield pts, frame
            found += 1
    yield from _from_the_beginning(timeline, wanted[found:])


def upright(frame: VideoFrame, timeline: Timeline, scaler: VideoReformatter, size: Size | None) -> Frames:
    """A frame as it is seen: square pixels, turned as the file says, RGB; at a size of its own or at this one."""
    turn = timeline.turn
    width, height = (size.width, size.height) if size else displayed_size(*timeline.stored, timeline.aspect, turn)
    if turn % 180:
        width, height = height, width
    with ffmpeg_errors(timeline.path, "colours"):
        picture = scaler.reformat(frame, width, height, "rgb24", interpolation=Interpolation.AREA)
    return np.rot90(np.asarray(picture.to_ndarray(), np.uint8), -(turn // 90))


def _by_seeking(timeline: Timeline, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """The same, as far as the container can be led to its keyframes; where it can't, this ends early."""
    with opened(timeline.path) as (container, stream):
        frames: Iterator[VideoFrame] = iter(())
        at: int | None = None
        for pts in wanted:
            key = timeline.key_before(pts)
            if key is not None and (at is None or key > at):
                frames = _from_key(container, stream, key)
            try:
                frame = next((frame for frame in frames if frame.pts is not None and frame.pts >= pts), None)
            except FFmpegError:
                return
            if frame is None or frame.pts != pts or frame.is_corrupt:
                return
            at = pts
            yield pts, frame


def _from_key(container: InputContainer, stream: VideoStream, key: int) -> Iterator[VideoFrame]:
    """What can be decoded from a keyframe on; nothing where the container leads past it."""
    container.seek(key, stream=stream, backward=True, any_frame=False)
    packets = container.demux(stream)
    first = next(packets, None)
    if first is None or first.pts is None or not first.is_keyframe or first.pts > key:
        return
    for packet in chain([first], packets):
        for frame in packet.decode():
            # what is shown before the keyframe leans on frames that were not decoded
            if frame.pts is not None and frame.pts >= first.pts:
                yield frame


def _from_the_beginning(timeline: Timeline, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    if not wanted:
        return
    waiting = iter(wanted)
    pts = next(waiting, None)
    with opened(timeline.path) as (container, stream):
        frames = container.decode(stream)
        while pts is not None:
            with ffmpeg_errors(timeline.path, "damaged"):
                frame = next((frame for frame in frames if frame.pts is not None and frame.pts >= pts), None)
            if frame is None or frame.pts != pts or frame.is_corrupt:
                raise Unusable(
                    "damaged", f"the frame at {float(timeline.time_s(pts)):g} s can't be decoded", where=str(timeline.path)
                )
            yield pts, frame
            pts = next(waiting, None)
