"""The times at which a file's frames are shown, read from its packets, of which only the first is decoded.

Headers are not believed. Where packets don't tell, all of them are decoded: `display_order.py`.
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
from dmforge.curation.video.geometry import pixel_aspect_of, rotation_of
from dmforge.curation.video.opening import ffmpeg_errors, moving_streams, open_video
from dmforge.curation.video.unusable import UnusableVideo


@dataclass(frozen=True, slots=True)
class Timeline:
    """The times of all displayed frames of a file, in ticks of `tick_s`."""

    path: Path
    stream_index: int
    """The index of the stream that players show."""
    video_streams: int
    """How many streams of the file are video."""
    pts: tuple[int, ...]
    """When each frame is first shown, ascending; as the packets say, so not counted from 0."""
    end_pts: int
    """When the last frame leaves the screen."""
    key_pts: tuple[int, ...]
    """The displayed or hidden frames at which decoding may begin, ascending."""
    tick_s: Fraction
    hidden_frames: int
    """Frames that are decoded and not shown: an edit list leaves them out."""
    stores_pts: bool
    """Packets say when their frames are shown; otherwise frames are known by their numbers, from the beginning on."""
    has_leading: bool
    """Some frames stand after a keyframe and are shown before it: they can't be decoded from there."""
    container: str
    """The container format, by the file's content: a suffix may say anything."""
    pixel_aspect: Fraction
    """Width of a stored pixel over its height."""
    rotation_deg: int
    """Degrees clockwise that a stored frame is turned by to be seen upright."""
    stored_size: tuple[int, int]
    """Width and height of a frame as it is stored."""

    @property
    def duration_s(self) -> Fraction:
        return (self.end_pts - self.pts[0]) * self.tick_s

    def shown_at(self, time_s: Fraction) -> int:
        """The pts of the frame on screen at a time that counts from the first frame."""
        if not 0 <= time_s < self.duration_s:
            time_past_end = f"{float(time_s):g} s in a video of {float(self.duration_s):g} s"
            raise UnusableVideo("beyond the end", time_past_end, where=str(self.path))
        time_pts = self.pts[0] + time_s / self.tick_s
        return self.pts[bisect_right(self.pts, time_pts) - 1]

    def time_s(self, pts: int) -> Fraction:
        """When a frame is first shown, counted from the first one."""
        return (pts - self.pts[0]) * self.tick_s

    def index_of(self, pts: int) -> int | None:
        """The index of the displayed frame with exactly this pts, if there is one."""
        pts_index = bisect_left(self.pts, pts)
        return pts_index if pts_index < len(self.pts) and self.pts[pts_index] == pts else None

    def key_before(self, pts: int) -> int | None:
        """The pts of the last keyframe at or before a frame; None if it is decoded from the beginning."""
        key_count = bisect_right(self.key_pts, pts)
        return self.key_pts[key_count - 1] if key_count else None


def read_timeline(path: Path, heartbeat: Callable[[], None] = lambda: None) -> Timeline:
    """The times of a file's frames. `heartbeat` is called where this takes long."""
    has_stored_pts = stores_pts(path)
    with open_video(path) as (container, stream):
        if stream.time_base is None:
            raise UnusableVideo("no times", where=str(path))
        if has_stored_pts:
            frame_times = _stored_times(path, container, stream, stream.time_base)
        else:
            frame_times = display_times(path, stream.codec_context.name, stream.time_base, heartbeat)
        return Timeline(
            path,
            stream.index,
            len(moving_streams(container)),
            frame_times.pts,
            frame_times.end_pts,
            frame_times.key_pts,
            stream.time_base,
            hidden_frames=frame_times.hidden_frames,
            stores_pts=has_stored_pts,
            has_leading=frame_times.has_leading,
            container=container.format.name,
            pixel_aspect=pixel_aspect_of(stream),
            rotation_deg=rotation_of(frame_times.first_frame, path),
            stored_size=(frame_times.first_frame.width, frame_times.first_frame.height),
        )


def _stored_times(path: Path, container: InputContainer, stream: VideoStream, tick_s: Fraction) -> DisplayTimes:
    """The frame times that the packets of a file say."""
    duration_by_pts: dict[int, int] = {}
    key_pts: list[int] = []
    hidden_frames, has_leading = 0, False
    first_frame: VideoFrame | None = None
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise UnusableVideo(
                "damaged", f"packet {len(duration_by_pts) + hidden_frames} is broken or cut off", where=str(path)
            )
        if first_frame is None:  # only frames say how they are turned, so one is decoded
            with ffmpeg_errors(path, "damaged"):
                first_frame = next(iter(packet.decode()), None)
        if not packet.size:
            continue  # the end of the stream
        if packet.pts is None:
            raise UnusableVideo("no times", f"packet {len(duration_by_pts) + hidden_frames} has none", where=str(path))
        if packet.is_keyframe:
            if key_pts and packet.pts <= key_pts[-1]:
                raise UnusableVideo("no times", "its clock starts again: several recordings in one file", where=str(path))
            key_pts.append(packet.pts)
        elif key_pts and packet.pts < key_pts[-1]:
            has_leading = True
        if packet.is_discard or _is_never_shown(packet, stream):
            hidden_frames += 1
        elif packet.pts in duration_by_pts:
            raise UnusableVideo("no times", "two frames are shown at the same time", where=str(path))
        else:
            duration_by_pts[packet.pts] = packet.duration or 0
    # a recording that was cut begins with frames that depend on what was cut off: they can't be decoded
    sorted_pts = sorted(packet_pts for packet_pts in duration_by_pts if not key_pts or packet_pts >= key_pts[0])
    if not sorted_pts or first_frame is None:
        raise UnusableVideo("no frames", where=str(path))
    end_pts = sorted_pts[-1] + (duration_by_pts[sorted_pts[-1]] or usual_gap(sorted_pts, tick_s))
    return DisplayTimes(tuple(sorted_pts), end_pts, first_frame, tuple(sorted(key_pts)), hidden_frames, has_leading)


def _is_never_shown(packet: Packet[VideoStream], stream: VideoStream) -> bool:
    """VP8 has packets for reference only; others hide such frames inside of packets that are shown."""
    return stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10
