"""What a file is: from its packets and its first frame, not from what its header says."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dmforge.curation.video.geometry import displayed_size
from dmforge.curation.video.timeline import Timeline, opened, read_timeline


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found in a file. Width and height are as it is displayed: upright, with square pixels."""

    duration_s: Fraction
    width: int
    height: int
    rate_fps: Fraction
    """Frames by duration: the mean, where the rate varies."""
    codec: str
    rotation: int
    """Degrees clockwise that its frames are turned by."""
    frames: int


def probe(path: Path, timeline: Timeline | None = None) -> Probe:
    """What a file is, or `Unusable` with the reason."""
    timeline = timeline or read_timeline(path)
    with opened(path) as (_, stream):
        width, height = displayed_size(stream.width, stream.height, timeline.aspect, timeline.turn)
        codec = stream.codec_context.codec.canonical_name
    count = len(timeline.pts)
    rate = (count / timeline.duration_s).limit_denominator(1001)
    return Probe(timeline.duration_s, width, height, rate, codec, timeline.turn, count)
