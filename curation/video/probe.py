"""What a file is: plain for now, enough for files that say the truth about themselves."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError


class Unusable(Exception):
    """The file can't be used."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """The reason in few and fixed words, and what else there is to say."""
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found in a file."""

    duration_cs: int
    width: int
    height: int
    rate_fps: Fraction
    codec: str


def probe(path: Path) -> Probe:
    """Read the packets of the first video stream; nothing is decoded."""
    try:
        return _probe(path)
    except FFmpegError as error:
        raise Unusable("unreadable", error.strerror or "") from None


def _probe(path: Path) -> Probe:
    with av.open(str(path), "r") as container:
        if not container.streams.video:
            raise Unusable("no video stream")
        stream = container.streams.video[0]
        shown = [(packet.pts, packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
        if not shown or stream.time_base is None or stream.average_rate is None:
            raise Unusable("no frames with a time")
        first, last = min(pts for pts, _ in shown), max(pts + duration for pts, duration in shown)
        duration_cs = int((last - first) * stream.time_base * 100)
        return Probe(duration_cs, stream.width, stream.height, stream.average_rate, stream.codec_context.name)
