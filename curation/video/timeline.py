"""When each frame of a file is shown: read from its packets, of which only the first is decoded. Headers are not believed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EIO, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSPC, EPERM, EROFS, ESTALE
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from dmforge.curation.atomic import OTHERWISE, disk_errors
from dmforge.curation.video.errors import Reason, Unusable
from dmforge.curation.video.geometry import aspect_of, rotation_of
from dmforge.schemas.errors import LakeError


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

    def key_before(self, pts: int) -> int | None:
        """The last place before a frame from which it can be decoded; None if that is the beginning."""
        at = bisect_right(self.keys, pts)
        return self.keys[at - 1] if at else None


CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "ivf", "gif",
)  # fmt: skip
"""What holds its pictures itself. Playlists, lists of files and numbered images would show what lies in other files."""


@contextmanager
def opened(path: Path) -> Generator[tuple[InputContainer, VideoStream]]:
    """A file and the video stream that players show, to be read on one thread and without forgiving errors."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise Unusable("not a video", "neither a file nor a link to one", where=str(path))
    with ffmpeg_errors(path, "not a video"), disk_errors(path), path.open("rb") as file:
        # by its descriptor, so that its name has no say in what it is; strict, so that damage is an error and no guess
        name, formats = f"file:/proc/self/fd/{file.fileno()}", {"format_whitelist": ",".join(CONTAINERS)}
        with av.open(name, "r", container_options=formats, metadata_errors="replace") as container:
            if not _films(container):
                raise Unusable("no video stream", where=str(path))
            best = container.streams.best("video")
            stream = best if isinstance(best, VideoStream) and not _is_cover(best) else _films(container)[0]
            context: Any = stream.codec_context  # None where there is no decoder
            if context is None:
                raise Unusable("no decoder", where=str(path))
            context.options = {"err_detect": "explode"}
            context.thread_count = 1
            yield container, stream


@contextmanager
def ffmpeg_errors(path: Path, reason: Reason) -> Generator[None]:
    """What FFmpeg refuses, by what is to blame: the file, the machine's memory, or the disk."""
    try:
        yield
    except FFmpegError as error:
        if error.errno == ENOMEM:
            raise MemoryError from None
        if error.errno in OF_THE_DISK:
            raise LakeError(f"the disk refused: {(error.strerror or '').lower()}", where=str(path), mend=OTHERWISE) from None
        raise Unusable(reason, (error.strerror or "").lower(), where=str(path)) from None


OF_THE_DISK = frozenset({ENOENT, EIO, EACCES, EPERM, ESTALE, EMFILE, ENFILE, ENOSPC, EDQUOT, EROFS})
"""These say nothing about a file: another time it may be read."""


def read_timeline(path: Path) -> Timeline:
    """The times of a file's frames."""
    with opened(path) as (container, stream):
        if stream.time_base is None:
            raise Unusable("no times", where=str(path))
        shown: dict[int, int] = {}  # when, and for how long
        keys: list[int] = []
        hidden, leading, first = 0, False, None
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
        end = ordered[-1] + (shown[ordered[-1]] or _usual_gap(ordered, stream.time_base))
        return Timeline(
            path,
            stream.index,
            len(_films(container)),
            tuple(ordered),
            end,
            tuple(sorted(keys)),
            stream.time_base,
            hidden=hidden,
            leading=leading,
            container=container.format.name,
            aspect=aspect_of(stream),
            turn=rotation_of(first, path),
            stored=(first.width, first.height),
        )


def _usual_gap(ordered: list[int], tick_s: Fraction) -> int:
    """For a last frame that doesn't say how long it is shown: as long as most others."""
    gaps = [later - earlier for earlier, later in pairwise(ordered)]
    return median_low(gaps) if gaps else max(1, int(1 / tick_s / 25))


def _films(container: InputContainer) -> list[VideoStream]:
    return [stream for stream in container.streams.video if not _is_cover(stream)]


def _is_never_shown(packet: Packet[VideoStream], stream: VideoStream) -> bool:
    """VP8 has packets for reference only; others hide such frames inside of packets that are shown."""
    return stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)
