"""When each frame of a file is shown: read from its packets, of which only the first is decoded. Headers are not believed.

Where packets don't say it, all of them are decoded: `display_order.py`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dmforge.curation.video.display_order import DisplayTimes, display_times, stores_pts, usual_gap
from dmforge.curation.video.errors import Unusable
from dmforge.curation.video.geometry import aspect_of, rotation_of
from dmforge.curation.video.opening import ffmpeg_errors, films, opened


@dataclass(frozen=True, slots=True)
class Timeline:
    """The times of all displayed frames of a file, in ticks of `tick_s`."""

    path: Path
    stream: int
    """Which of the file's streams: the one that players show."""
    streams: int
    """How many of them are video."""
    pts: tuple[int, ...]
    """When each frame is first shown, ascending; as the packets say, so not counted from 0."""
    end: int
    """When the last frame is gone."""
    keys: tuple[int, ...]
    """The displayed or hidden frames at which decoding may begin, ascending."""
    tick_s: Fraction
    hidden: int
    """Frames that are decoded and not shown: an edit list leaves them out."""
    stores_pts: bool
    """Packets say when their frames are shown; otherwise frames are known by their numbers, from the beginning on."""
    leading: bool
    """Some frames stand after a keyframe and are shown before it: they can't be decoded from there."""
    container: str
    """What the file is, by its content: a suffix may say anything."""
    aspect: Fraction
    """Width of a stored pixel over its height."""
    turn: int
    """Degrees clockwise that a stored frame is turned by to be seen upright."""
    stored: tuple[int, int]
    """Width and height of a frame as it is stored."""

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

    def number_of(self, pts: int) -> int | None:
        """Which of the displayed frames is first shown then."""
        number = bisect_left(self.pts, pts)
        return number if number < len(self.pts) and self.pts[number] == pts else None

    def key_before(self, pts: int) -> int | None:
        """The last place before a frame from which it can be decoded; None if that is the beginning."""
        at = bisect_right(self.keys, pts)
        return self.keys[at - 1] if at else None


def read_timeline(path: Path, gets_on: Callable[[], None] = lambda: None) -> Timeline:
    """The times of a file's frames. `gets_on` is called where this takes long."""
    by_packets = stores_pts(path)
    with opened(path) as (container, stream):
        if stream.time_base is None:
            raise Unusable("no times", where=str(path))
        if by_packets:
            times = _stored_times(path, container, stream, stream.time_base)
        else:
            times = display_times(path, stream.codec_context.name, stream.time_base, gets_on)
        return Timeline(
            path,
            stream.index,
            len(films(container)),
            times.pts,
            times.end,
            times.keys,
            stream.time_base,
            hidden=times.hidden,
            stores_pts=by_packets,
            leading=times.leading,
            container=container.format.name,
            aspect=aspect_of(stream),
            turn=rotation_of(times.first, path),
            stored=(times.first.width, times.first.height),
        )


def _stored_times(path: Path, container: InputContainer, stream: VideoStream, tick_s: Fraction) -> DisplayTimes:
    """What the packets say."""
    shown: dict[int, int] = {}  # when, and for how long
    keys: list[int] = []
    hidden, leading = 0, False
    first: VideoFrame | None = None
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise Unusable("damaged", f"packet {len(shown) + hidden} is broken or cut off", where=str(path))
        if first is None:  # only frames say how they are turned, so one is decoded
            with ffmpeg_errors(path, "damaged"):
                first = next(iter(packet.decode()), None)
        if not packet.size:
            continue  # the end of the stream
        if packet.pts is None:
            raise Unusable("no times", f"packet {len(shown) + hidden} has none", where=str(path))
        if packet.is_keyframe:
            if keys and packet.pts <= keys[-1]:
                raise Unusable("no times", "its clock starts again: several recordings in one file", where=str(path))
            keys.append(packet.pts)
        elif keys and packet.pts < keys[-1]:
            leading = True
        if packet.is_discard or _is_never_shown(packet, stream):
            hidden += 1
        elif packet.pts in shown:
            raise Unusable("no times", "two frames are shown at the same time", where=str(path))
        else:
            shown[packet.pts] = packet.duration or 0
    # a recording that was cut begins with frames that lean on what was cut off: nobody can decode them
    ordered = sorted(pts for pts in shown if not keys or pts >= keys[0])
    if not ordered or first is None:
        raise Unusable("no frames", where=str(path))
    end = ordered[-1] + (shown[ordered[-1]] or usual_gap(ordered, tick_s))
    return DisplayTimes(tuple(ordered), end, first, tuple(sorted(keys)), hidden, leading)


def _is_never_shown(packet: Packet[VideoStream], stream: VideoStream) -> bool:
    """VP8 has packets for reference only; others hide such frames inside of packets that are shown."""
    return stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10
