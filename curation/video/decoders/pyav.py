"""PyAV: for foreign files. It seeks only to where decoding may begin, and takes no frame but the very one that was meant."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from dmforge.curation.video.decoders import Clip, Frames
from dmforge.curation.video.display_order import in_display_order
from dmforge.curation.video.errors import Unusable
from dmforge.curation.video.geometry import displayed_size
from dmforge.curation.video.opening import ffmpeg_errors, opened
from dmforge.curation.video.timeline import Timeline, read_timeline
from dmforge.schemas.sizes import Size

MAX_REORDER = 16
"""So many frames can wait for another, in H.264 and HEVC."""


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
        frames: Iterator[tuple[int, VideoFrame]] = iter(())
        at: int | None = None
        for pts in wanted:
            key = timeline.key_before(pts)
            if key is not None and (at is None or key > at):
                frames = _from_key(timeline, container, stream, key)
            try:
                place, frame = next(((place, frame) for place, frame in frames if place >= pts), (None, None))
            except FFmpegError:
                return
            if frame is None or place != pts or frame.is_corrupt:
                return
            at = pts
            yield pts, frame


def _from_key(timeline: Timeline, container: InputContainer, stream: VideoStream, key: int) -> Iterator[tuple[int, VideoFrame]]:
    """What can be decoded from a keyframe on; nothing where the container leads past it."""
    container.seek(key, stream=stream, backward=True, any_frame=False)
    packets = container.demux(stream)
    first = next(packets, None)
    if first is None or first.pts is None or not first.is_keyframe or first.pts > key:
        return
    begin = first.pts
    frames = (frame for packet in chain([first], packets) for frame in packet.decode())
    # what is shown before the keyframe leans on frames that were not decoded
    yield from _in_order(timeline, (frame for frame in frames if frame.pts is not None and frame.pts >= begin), begin)


def _from_the_beginning(timeline: Timeline, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    if not wanted:
        return
    waiting = iter(wanted)
    pts = next(waiting, None)
    frames = _all_frames(timeline)
    while pts is not None:
        place, frame = next(((place, frame) for place, frame in frames if place >= pts), (None, None))
        if frame is None or place != pts or frame.is_corrupt:
            detail = f"the frame at {float(timeline.time_s(pts)):g} s can't be decoded"
            raise Unusable("damaged", detail, where=str(timeline.path))
        yield pts, frame
        pts = next(waiting, None)


def _all_frames(timeline: Timeline) -> Iterator[tuple[int, VideoFrame]]:
    """The frames of a file with their times: their own, or those of their numbers."""
    if timeline.stores_pts:
        with opened(timeline.path) as (container, stream), ffmpeg_errors(timeline.path, "damaged"):
            yield from _in_order(timeline, container.decode(stream), timeline.pts[0])
    else:
        frames = chain.from_iterable(frames for _, frames in in_display_order(timeline.path))
        yield from zip(timeline.pts, frames, strict=False)


def _in_order(timeline: Timeline, frames: Iterator[VideoFrame], begin: int) -> Iterator[tuple[int, VideoFrame]]:
    """Frames with their times, from one on. What is passed over must not come later: it would have been on screen before.

    Files that were copied from an AVI by a tool that numbers packets claim such times.
    """
    due = bisect_left(timeline.pts, begin)
    ahead: deque[VideoFrame] = deque()
    while (frame := ahead.popleft() if ahead else next(frames, None)) is not None:
        pts = frame.pts
        if pts is None or (number := timeline.number_of(pts)) is None:
            continue
        if number > due:
            ahead.extend(islice(frames, MAX_REORDER - len(ahead)))
        if number + 1 < due or any(later.pts is not None and later.pts < pts for later in ahead):
            detail = f"at {float(timeline.time_s(pts)):g} s frames are decoded in another order than the file says"
            raise Unusable("no times", detail, where=str(timeline.path))
        due = number + 1
        yield pts, frame
