"""The properties of a video file, from its packets and its first frame, not from what its header says."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dmforge.curation.video.geometry import displayed_size
from dmforge.curation.video.opening import open_video
from dmforge.curation.video.timeline import Timeline
from dmforge.schemas.records import Video


@dataclass(frozen=True, slots=True)
class Probe:
    """The properties of a video file. Width and height are as it is displayed: upright, with square pixels."""

    duration_s: Fraction
    width: int
    height: int
    rate_fps: Fraction
    """Frames by duration: the mean, where the rate varies."""
    codec: str
    rotation: int
    """Degrees clockwise that its frames are turned by."""

    def as_video(self, sha256: str, size_bytes: int) -> Video:
        """The video record of a file with these properties."""
        duration_cs = int(self.duration_s * 100)
        return Video(sha256, duration_cs, self.width, self.height, self.rate_fps, self.codec, self.rotation, size_bytes)


def probe(timeline: Timeline) -> Probe:
    """The properties of a file whose timeline was read."""
    with open_video(timeline.path) as (_, stream):
        displayed_width, displayed_height = displayed_size(
            stream.width, stream.height, timeline.pixel_aspect, timeline.rotation_deg
        )
        codec_name = stream.codec_context.codec.canonical_name
    rate_fps = len(timeline.pts) / timeline.duration_s
    rate_fps = rate_fps.limit_denominator(1001) if rate_fps > 1 else rate_fps
    return Probe(timeline.duration_s, displayed_width, displayed_height, rate_fps, codec_name, timeline.rotation_deg)
