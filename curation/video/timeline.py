"""When each frame of a file is shown: read from its packets, of which only the first is decoded. Headers are not believed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median_low

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from dmforge.curation.video.errors import Unusable
from dmforge.curation.video.geometry import aspect_of, rotation_of


@dataclass(frozen=True, slots=True)
class Timeline:
    """The times of all displayed frames of a file, in ticks of `tick_s`."""

    path: Path
    pts: tuple[int, ...]
    """When each frame is first shown, ascending; as the packets say, so not counted from 0."""
    end: int
    """When the last frame is gone."""
    keys: tuple[int, ...]
    """The displayed or hidden frames at which decoding may begin, ascending."""
    tick_s: Fraction
    hidden: int
    """Frames that are decoded and not shown: an edit list leaves them out."""
    leading: bool
    """Some frames stand after a keyframe and are shown before it: they can't be decoded from there."""
    container: str
    """What the file is, by its content: a suffix may say anything."""
    aspect: Fraction
    """Width of a stored pixel over its height."""
    turn: int
    """Degrees clockwise that a stored frame is turned by to be seen upright."""

    @property
    def duration_s(self) -> Fraction:
        return (self.end - self.pts[0]) * self.tick_s

    def shown_at(self, time_s: Fraction) -> int:
        """The pts of the frame on screen at a time that counts from the first frame."""
        if not 0 <= time_s < self.duration_s:
            detail = f"{float(time_s):g} s in a video of {float(self.duration_s):g} s"
            raise Unusable("beyond the end", detail, where=str(self.path))
        ticks = self.pts[0] + time_s / self.tick_s
        return self.pts[bisect_right(self.pts, ticks) - 1]

    def time_s(self, pts: int) -> Fraction:
        """When a frame is first shown, counted from the first one."""
        return (pts - self.pts[0]) * self.tick_s

    def key_before(self, pts: int) -> int | None:
        """The last place before a frame from which it can be decoded; None if that is the beginning."""
        at = bisect_right(self.keys, pts)
        return self.keys[at - 1] if at else None


@contextmanager
def opened(path: Path) -> Generator[tuple[InputContainer, VideoStream]]:
    """A file and its first video stream, to be read on one thread and without forgiving errors."""
    try:
        # with the protocol, so that no name is taken for a URL or an option; strict, so that damage is an error and no guess
        with av.open(f"file:{path}", "r") as container:
            streams = [stream for stream in container.streams.video if not _is_cover(stream)]
            if not streams:
                raise Unusable("no video stream", where=str(path))
            stream = streams[0]
            stream.codec_context.options = {"err_detect": "explode"}
            stream.codec_context.thread_count = 1
            yield container, stream
    except FFmpegError as error:
        raise Unusable("not a video", (error.strerror or "").lower(), where=str(path)) from None


def read_timeline(path: Path) -> Timeline:
    """The times of a file's frames."""
    with opened(path) as (container, stream):
        if stream.time_base is None:
            raise Unusable("no times", where=str(path))
        shown: list[int] = []
        keys: list[int] = []
        lengths: list[int] = []
        hidden, leading, last_key, turn = 0, False, None, None
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise Unusable("damaged", f"packet {len(shown) + hidden} is broken or cut off", where=str(path))
            if turn is None:  # only frames say how they are turned, so one is decoded
                turn = next((rotation_of(frame) for frame in packet.decode()), None)
            if not packet.size:
                continue  # the end of the stream
            if packet.pts is None:
                raise Unusable("no times", f"packet {len(shown) + hidden} has none", where=str(path))
            if packet.is_keyframe:
                last_key = packet.pts
                keys.append(packet.pts)
            elif last_key is not None and packet.pts < last_key:
                leading = True
            if packet.is_discard:
                hidden += 1
            else:
                shown.append(packet.pts)
                lengths.append(packet.duration or 0)
        if not shown or turn is None:
            raise Unusable("no frames", where=str(path))
        ordered = sorted(set(shown))
        end = ordered[-1] + (lengths[shown.index(ordered[-1])] or _usual_gap(ordered, stream.time_base))
        return Timeline(
            path,
            tuple(ordered),
            end,
            tuple(sorted(keys)),
            stream.time_base,
            hidden=hidden,
            leading=leading,
            container=container.format.name,
            aspect=aspect_of(stream),
            turn=turn,
        )


def _usual_gap(ordered: list[int], tick_s: Fraction) -> int:
    """For a last frame that doesn't say how long it is shown: as long as most others."""
    gaps = [later - earlier for earlier, later in pairwise(ordered)]
    return median_low(gaps) if gaps else max(1, int(1 / tick_s / 25))


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)
