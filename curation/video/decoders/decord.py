"""The decord backend: fast on simple files. Frames are found by timestamps, and only where these agree with the packets.

Its frame numbers are wrong for variable rates, it ignores edit lists, gives other frames with open GOPs, and hangs on transport
streams while it holds the interpreter: on all of these it refuses, before it has opened the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from dmforge.curation.video.decoders import DecodedClip, refuse_if
from dmforge.curation.video.timeline import Timeline, read_timeline
from dmforge.curation.video.unusable import UnusableVideo
from dmforge.schemas.sizes import Size

CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
TOLERANCE_S = 0.002
"""Its timestamps are single floats."""


class Decord:
    """A decoder for comparing backends: nothing else in dmforge depends on it."""

    name = "decord"

    def read(self, path: Path, times_s: Sequence[Fraction], size: Size | None = None) -> DecodedClip:
        timeline = read_timeline(path)
        requested_pts = [timeline.shown_at(time_s) for time_s in times_s]
        refuse_if(_known_faults(timeline), path)
        try:
            import decord  # pyright: ignore[reportMissingTypeStubs] (it has none)
        except ImportError:
            raise UnusableVideo("not installed", "decord", where=str(path)) from None
        target_width, target_height = (size.width, size.height) if size else (-1, -1)
        try:
            video_reader = decord.VideoReader(str(path), width=target_width, height=target_height, num_threads=1)
            reported_starts_s = np.asarray(video_reader.get_frame_timestamp(np.arange(len(video_reader))))[:, 0]
            expected_times_s = np.array([float(timeline.time_s(frame_pts)) for frame_pts in timeline.pts])
            if (
                len(reported_starts_s) != len(expected_times_s)
                or np.abs(reported_starts_s - reported_starts_s[0] - expected_times_s).max() > TOLERANCE_S
            ):
                raise UnusableVideo("not this backend", "decord counts its frames otherwise", where=str(path))
            index_by_pts = {frame_pts: frame_index for frame_index, frame_pts in enumerate(timeline.pts)}
            rgb_frames = video_reader.get_batch([index_by_pts[frame_pts] for frame_pts in requested_pts]).asnumpy()
        except decord.DECORDError:
            raise UnusableVideo("not this backend", "decord can't read it", where=str(path)) from None
        return DecodedClip(rgb_frames, tuple(timeline.time_s(frame_pts) for frame_pts in requested_pts))


def _known_faults(timeline: Timeline) -> dict[str, bool]:
    """The faults of decord, and whether this file meets them."""
    return {
        "decord hangs on such containers": timeline.container not in CONTAINERS,
        "decord takes no notice of edit lists": bool(timeline.hidden_frames),
        "decord gives other frames where a GOP is open": timeline.has_leading,
        "decord may take another stream": timeline.video_streams > 1,
        "decord knows square pixels only": timeline.pixel_aspect != 1,
        "decord turns some files and not others": bool(timeline.rotation_deg),
    }
