"""A clip as it is sent to another process: frames, the time of each, and a name that is a digest of both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np

from dmforge.generators.footage import Pixels, ShownClip
from dmforge.generators.video_part import PROCESSING, FrameTicks, ticks_of


@dataclass(frozen=True)
class ClipPayload:
    """Frames, an even number of them, and when each is on screen."""

    frames: Pixels
    ticks: tuple[int, ...]
    ticks_a_second: int

    @cached_property
    def name(self) -> str:
        """A digest of pixels, sizes, times and processing: where one of them differs, it is another clip. Engines keep what
        they made of a clip by this name, and don't look at the frames again."""
        header_values = [list(self.frames.shape), list(self.ticks), self.ticks_a_second, PROCESSING]
        payload_digest = blake2b(json.dumps(header_values, sort_keys=True).encode(), digest_size=16)
        payload_digest.update(np.ascontiguousarray(self.frames).data)
        return payload_digest.hexdigest()

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata by which engines know frames that are sampled already."""
        return FrameTicks(self.ticks, self.ticks_a_second).metadata


def payload_of(clip: ShownClip) -> ClipPayload:
    """The clip as a payload: an odd last frame stands twice in it."""
    frame_ticks = ticks_of(clip.times_s)
    has_odd_frame = len(clip.frames) % 2
    even_frames = np.concatenate([clip.frames, clip.frames[-1:]]) if has_odd_frame else clip.frames
    return ClipPayload(even_frames, frame_ticks.ticks, frame_ticks.ticks_a_second)
