"""A clip as it is sent to another process: frames, the time of each, and a name that is a digest of both.

An engine that is handed frames prints the stamp of a patch as the mean of its two frames' times, and times as numbers of
frames over frames a second. Here both frames of a patch are given the time of the patch, in whole ticks: the mean of two equal
floats is that float, and the nearest one to the exact time, so what is printed is our own stamp for every clip there can be.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from math import lcm
from typing import Any

import numpy as np

from dmforge.generators.footage import Pixels, ShownClip

PROCESSING = {"do_resize": False}
"""Options of a Hugging Face video processor: frames lie on the grid already. By default it would shrink long clips."""
BACKEND = "dmforge"
"""The name of our loader where vLLM looks for loaders."""
MEDIA = "data:video/x-dmforge;base64,"


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
        digest = blake2b(json.dumps(header_values, sort_keys=True).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.frames).data)
        return digest.hexdigest()

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata by which vLLM and Hugging Face's processors know frames that are sampled already."""
        total_ticks = self.ticks[-1] + 1
        return {
            "fps": float(self.ticks_a_second),
            "frames_indices": list(self.ticks),
            "total_num_frames": total_ticks,
            "duration": total_ticks / self.ticks_a_second,
            "video_backend": BACKEND,
            "do_sample_frames": False,
        }

    def to_bytes(self) -> bytes:
        """The payload as bytes, to be sent over HTTP."""
        npz_buffer = io.BytesIO()
        np.savez(npz_buffer, frames=self.frames, ticks=np.array(self.ticks, np.int64), ticks_a_second=self.ticks_a_second)
        return npz_buffer.getvalue()


def payload_of(clip: ShownClip) -> ClipPayload:
    """The clip as a payload: an odd last frame stands twice in it."""
    stamps_s = clip.stamps_s
    ticks_a_second = lcm(*(stamp_s.denominator for stamp_s in stamps_s))
    ticks = tuple(int(stamp_s * ticks_a_second) for stamp_s in stamps_s for _ in range(2))
    has_odd_frame = len(clip.frames) % 2
    return ClipPayload(np.concatenate([clip.frames, clip.frames[-1:]]) if has_odd_frame else clip.frames, ticks, ticks_a_second)


def payload_from(npz_bytes: bytes) -> ClipPayload:
    """The payload that `to_bytes` wrote. From bytes that anyone may have sent: nothing in them is unpickled."""
    with np.load(io.BytesIO(npz_bytes), allow_pickle=False) as npz_archive:
        return ClipPayload(npz_archive["frames"], tuple(npz_archive["ticks"].tolist()), int(npz_archive["ticks_a_second"]))
