"""Frame times of files that store decoding times only: the frames are decoded to learn the order they are shown in.

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

from dmforge.curation.video.opening import AS_STORED, ffmpeg_errors, open_video
from dmforge.curation.video.unusable import UnusableVideo

REORDERED_BY_GUESS = ("h264", "hevc")
"""Codecs whose decoders may find out late how many pictures wait for others, and then drop the one that came too late."""


@dataclass(frozen=True, slots=True)
class DisplayTimes:
    """When frames are shown, in ticks, ascending."""

    pts: tuple[int, ...]
    end_pts: int
    """When the last frame leaves the screen."""
    first_frame: VideoFrame
    """The first that was decoded."""
    key_pts: tuple[int, ...] = ()
    """The times of the keyframes, where decoding may begin; empty where they have none."""
    hidden_frames: int = 0
    has_leading: bool = False


def stores_pts(path: Path) -> bool:
    """Whether the packets of a file say when their frames are shown."""
    with open_video(path, AS_STORED) as (container, stream):
        first_packet = next(container.demux(stream), None)
        return first_packet is None or first_packet.pts is not None or first_packet.dts is None


def in_display_order(path: Path) -> Iterator[tuple[int | None, list[VideoFrame]]]:
    """The tick of each packet with the frames that the decoder hands out for it; at the end None with the remaining frames."""
    has_begun = False
    with open_video(path, AS_STORED) as (container, stream), ffmpeg_errors(path, "damaged"):
        for packet_index, packet in enumerate(container.demux(stream)):
            if packet.dts is not None and not packet.size:
                continue  # at this tick nothing new is shown; a decoder would take it for the end
            if packet.is_corrupt:
                raise UnusableVideo("damaged", f"packet {packet_index} is broken or cut off", where=str(path))
            if packet.size and packet.dts is None:
                raise UnusableVideo("no times", f"packet {packet_index} has none", where=str(path))
            if packet.size and not has_begun and not packet.is_keyframe:
                raise UnusableVideo("damaged", "its first frames lean on what was cut off", where=str(path))
            has_begun = True
            yield packet.dts, packet.decode()


def display_times(path: Path, codec: str, tick_s: Fraction, heartbeat: Callable[[], None]) -> DisplayTimes:
    """When the frames of such a file are shown. `heartbeat` is called with every packet: a long film takes long."""
    packet_ticks: list[int] = []
    packet_indices: list[int] = []  # for each frame, the packet on which the decoder handed it out
    first_frame: VideoFrame | None = None
    delayed_frames = 0
    for tick_pts, packet_frames in in_display_order(path):
        heartbeat()
        if tick_pts is None:
            delayed_frames = len(packet_frames)
            packet_indices.extend(range(len(packet_ticks), len(packet_ticks) + delayed_frames))
        else:
            packet_indices.extend(len(packet_ticks) for _ in packet_frames)
            packet_ticks.append(tick_pts)
        first_frame = first_frame or next(iter(packet_frames), None)
    if first_frame is None:
        raise UnusableVideo("no frames", where=str(path))
    if codec in REORDERED_BY_GUESS:
        if len(packet_indices) != len(packet_ticks):
            count_mismatch = (
                f"{len(packet_ticks)} packets give {len(packet_indices)} frames, and nothing says which are shown when"
            )
            raise UnusableVideo("no times", count_mismatch, where=str(path))
        packet_indices = [*range(delayed_frames, delayed_frames + len(packet_indices))]
    gap_ticks = usual_gap(packet_ticks, tick_s)
    packet_ticks += [packet_ticks[-1] + gap_number * gap_ticks for gap_number in range(1, delayed_frames + 1)]
    pts_of_frames = [packet_ticks[packet_index] for packet_index in packet_indices]
    if any(
        later_time <= earlier_time
        for ascending_times in (packet_ticks, pts_of_frames)
        for earlier_time, later_time in pairwise(ascending_times)
    ):
        raise UnusableVideo("no times", "its clock stands still or starts again", where=str(path))
    return DisplayTimes(tuple(pts_of_frames), pts_of_frames[-1] + gap_ticks, first_frame)


def usual_gap(sorted_pts: list[int], tick_s: Fraction) -> int:
    """The median gap between frames, for a last frame that doesn't say how long it is shown."""
    pts_gaps = [later_pts - earlier_pts for earlier_pts, later_pts in pairwise(sorted_pts)]
    return median_low(pts_gaps) if pts_gaps else max(1, int(1 / tick_s / 25))
