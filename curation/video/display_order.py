"""Files that say when their packets are decoded, and not when their pictures are shown: decoding tells the order.

AVI, ASF and some Matroska files have no presentation times. FFmpeg makes some up: for H.264 with B-frames it numbers packets as
they are stored, an order in which nothing was ever shown. So it is kept from filling in, and one rule stands: a packet makes
the decoder hand out one picture, the next to be shown, which is on screen from the tick of that packet on. With B-frames all
pictures come later by as many packets, those of the end when nothing follows; times count from the first displayed frame, so
this delay is gone. Encoders write the same: the tick of a packet is that of the picture that can be shown by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median_low

from av.video.frame import VideoFrame

from dmforge.curation.video.errors import Unusable
from dmforge.curation.video.opening import AS_STORED, ffmpeg_errors, opened

REORDERED_BY_GUESS = ("h264", "hevc")
"""Their decoders may find out late how many pictures wait for others, and then drop the one that came too late."""


@dataclass(frozen=True, slots=True)
class DisplayTimes:
    """When frames are shown, in ticks, ascending."""

    pts: tuple[int, ...]
    end: int
    """When the last one is gone."""
    first: VideoFrame
    """The first that was decoded."""
    keys: tuple[int, ...] = ()
    """Where decoding may begin, as far as that has a time."""
    hidden: int = 0
    leading: bool = False


def stores_pts(path: Path) -> bool:
    """Whether packets say when their frames are shown."""
    with opened(path, AS_STORED) as (container, stream):
        packet = next(container.demux(stream), None)
        return packet is None or packet.pts is not None or packet.dts is None


def in_display_order(path: Path) -> Iterator[tuple[int | None, list[VideoFrame]]]:
    """The tick of each packet with the frames that it makes the decoder hand out; at last None with those that were left."""
    begun = False
    with opened(path, AS_STORED) as (container, stream), ffmpeg_errors(path, "damaged"):
        for number, packet in enumerate(container.demux(stream)):
            if packet.dts is not None and not packet.size:
                continue  # at this tick nothing new is shown; a decoder would take it for the end
            if packet.is_corrupt:
                raise Unusable("damaged", f"packet {number} is broken or cut off", where=str(path))
            if packet.size and packet.dts is None:
                raise Unusable("no times", f"packet {number} has none", where=str(path))
            if packet.size and not begun and not packet.is_keyframe:
                raise Unusable("damaged", "its first frames lean on what was cut off", where=str(path))
            begun = True
            yield packet.dts, packet.decode()


def display_times(path: Path, codec: str, tick_s: Fraction, gets_on: Callable[[], None]) -> DisplayTimes:
    """When the frames of such a file are shown. `gets_on` is called with every packet: a long film takes long."""
    ticks: list[int] = []
    places: list[int] = []  # of the packet that brought each frame out
    first: VideoFrame | None = None
    delay = 0
    for tick, frames in in_display_order(path):
        gets_on()
        if tick is None:
            delay = len(frames)
            places.extend(range(len(ticks), len(ticks) + delay))
        else:
            places.extend(len(ticks) for _ in frames)
            ticks.append(tick)
        first = first or next(iter(frames), None)
    if first is None:
        raise Unusable("no frames", where=str(path))
    if codec in REORDERED_BY_GUESS:
        if len(places) != len(ticks):
            detail = f"{len(ticks)} packets give {len(places)} frames, and nothing says which are shown when"
            raise Unusable("no times", detail, where=str(path))
        places = [*range(delay, delay + len(places))]
    gap = usual_gap(ticks, tick_s)
    ticks += [ticks[-1] + number * gap for number in range(1, delay + 1)]
    pts = [ticks[place] for place in places]
    if any(later <= earlier for shown in (ticks, pts) for earlier, later in pairwise(shown)):
        raise Unusable("no times", "its clock stands still or starts again", where=str(path))
    return DisplayTimes(tuple(pts), pts[-1] + gap, first)


def usual_gap(ordered: list[int], tick_s: Fraction) -> int:
    """For a last frame that doesn't say how long it is shown: as long as most others."""
    gaps = [later - earlier for earlier, later in pairwise(ordered)]
    return median_low(gaps) if gaps else max(1, int(1 / tick_s / 25))
