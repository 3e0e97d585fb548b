"""A clip as one video in a chat request: a JPEG of each frame, and when each is on screen.

A server samples a video file as it likes, and counts times from what it samples. This form can be read only where dmforge's
plug-in for vLLM is (`loader_plugin`), which shows these frames under these stamps; everywhere else it is refused. So no answer
can come from other frames than those that it is kept for.

An engine that is handed frames prints the stamp of a patch as the mean of its two frames' times, and times as numbers of
frames over frames a second. Here both frames of a patch are given the time of the patch, in whole ticks: the mean of two equal
floats is that float, and the nearest one to the exact time, so what is printed is our own stamp for every clip there can be.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import lcm
from typing import Any

from dmforge.schemas.stamps import FRAMES_A_PATCH, patch_times

PROCESSING = {"do_resize": False}
"""Options of a Hugging Face video processor: frames lie on the grid already. By default it would shrink long clips."""
BACKEND = "dmforge"
"""The name of our loader where vLLM looks for loaders."""
MEDIA = "data:video/x-dmforge;base64,"
HEADER_END = b"\n"
COMPLEMENT = bytes(range(255, -1, -1))
"""JPEGs travel with each bit turned over: ffmpeg finds one wherever it begins, and would play them at a rate of its own."""


@dataclass(frozen=True, slots=True)
class FrameTicks:
    """When each frame of a clip is on screen: an even number of them, both of a patch at the patch's time."""

    ticks: tuple[int, ...]
    ticks_a_second: int

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


def ticks_of(times_s: tuple[Fraction, ...]) -> FrameTicks:
    """The ticks of frames that are on screen at these times: an odd last frame stands twice."""
    stamps_s = patch_times(times_s)
    ticks_a_second = lcm(*(stamp_s.denominator for stamp_s in stamps_s))
    patch_ticks = (int(stamp_s * ticks_a_second) for stamp_s in stamps_s for _ in range(FRAMES_A_PATCH))
    return FrameTicks(tuple(patch_ticks), ticks_a_second)


def video_part(times_s: tuple[Fraction, ...], jpegs: Sequence[bytes]) -> dict[str, Any]:
    """A clip as a part of a message."""
    return {"type": "video_url", "video_url": {"url": MEDIA + base64.b64encode(to_video(times_s, jpegs)).decode()}}


def to_video(times_s: tuple[Fraction, ...], jpegs: Sequence[bytes]) -> bytes:
    """A clip as bytes: a line of JSON, then one JPEG behind the other, with each bit turned over."""
    frame_ticks = ticks_of(times_s)
    even_jpegs = [*jpegs, *jpegs[-1:]] if len(jpegs) % FRAMES_A_PATCH else jpegs
    jpeg_lengths = [len(jpeg) for jpeg in even_jpegs]
    header = {"ticks": frame_ticks.ticks, "ticks_a_second": frame_ticks.ticks_a_second, "lengths": jpeg_lengths}
    return json.dumps(header).encode() + HEADER_END + b"".join(even_jpegs).translate(COMPLEMENT)


def from_video(video_bytes: bytes) -> tuple[FrameTicks, list[bytes]]:
    """Times and JPEGs that `to_video` wrote. Of bytes that anyone may have sent: raises ValueError where they are another's."""
    header_bytes, line_end, body_bytes = video_bytes.partition(HEADER_END)
    try:
        header_values = json.loads(header_bytes) if line_end else {}
        frame_ticks = FrameTicks(tuple(map(int, header_values["ticks"])), int(header_values["ticks_a_second"]))
        jpeg_lengths = [int(jpeg_length) for jpeg_length in header_values["lengths"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"no clip of dmforge's: its first line is no header of one ({type(error).__name__})") from error
    is_whole = sum(jpeg_lengths) == len(body_bytes) and min(jpeg_lengths, default=0) > 0
    if (
        not is_whole
        or len(jpeg_lengths) != len(frame_ticks.ticks)
        or len(jpeg_lengths) % FRAMES_A_PATCH
        or frame_ticks.ticks_a_second < 1
    ):
        raise ValueError("no clip of dmforge's: its header doesn't fit its frames")
    joined_jpegs = body_bytes.translate(COMPLEMENT)
    return frame_ticks, [
        joined_jpegs[jpeg_end - jpeg_length : jpeg_end]
        for jpeg_end, jpeg_length in zip(accumulate(jpeg_lengths), jpeg_lengths, strict=True)
    ]
