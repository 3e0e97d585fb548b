"""What a file is: from its packets and its first frame, not from what its header says."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dmforge.curation.video.geometry import displayed_size
from dmforge.curation.video.opening import opened
from dmforge.curation.video.timeline import Timeline
from dmforge.schemas.records import Video


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

    def as_video(self, sha256: str, size_bytes: int) -> Video:
        """The record of a file of which this was found."""
        duration_cs = int(self.duration_s * 100)
        return Video(sha256, duration_cs, self.width, self.height, self.rate_fps, self.codec, self.rotation, size_bytes)


def probe(timeline: Timeline) -> Probe:
    """What a file is, beside when its frames are shown."""
    with opened(timeline.path) as (_, stream):
        width, height = displayed_size(stream.width, stream.height, timeline.aspect, timeline.turn)
        codec = stream.codec_context.codec.canonical_name
    rate = len(timeline.pts) / timeline.duration_s
    rate = rate.limit_denominator(1001) if rate > 1 else rate
    return Probe(timeline.duration_s, width, height, rate, codec, timeline.turn)
