"""The frames of a clip, by the one rule: the frame at t is the last one that was presented by t."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from dmforge.schemas.errors import LakeError
from dmforge.schemas.sizes import Size

Frames = NDArray[np.uint8]
"""Frames x height x width x RGB."""


def read_frames(path: Path, times_s: Sequence[Fraction], size: Size) -> Frames:
    """The frames on screen at these times, in their order, at a size. Times count from the first frame."""
    wanted = sorted(set(times_s))
    to_rgb = VideoReformatter()
    found: dict[Fraction, Frames] = {}
    for time_s, frame in zip(wanted, _on_screen(path, wanted), strict=False):
        shown = to_rgb.reformat(frame, size.width, size.height, "rgb24", interpolation=Interpolation.AREA)
        found[time_s] = np.asarray(shown.to_ndarray(), np.uint8)
    if len(found) < len(wanted):
        raise LakeError("there is no frame in it", where=str(path), mend="remove the file, and run again: it is made anew")
    return np.stack([found[time_s] for time_s in times_s])


def _on_screen(path: Path, times_s: Sequence[Fraction]) -> Iterator[av.VideoFrame]:
    """One frame for each time; times ascend."""
    waiting = iter(times_s)
    time_s = next(waiting, None)
    with av.open(str(path), "r") as container:
        shown, first = None, None
        for frame in container.decode(video=0):
            if frame.pts is None or frame.time_base is None:
                raise LakeError("a frame has no time", where=str(path), mend="remove the file, and run again: it is made anew")
            first = frame.pts if first is None else first
            at_s = (frame.pts - first) * frame.time_base
            while shown is not None and time_s is not None and time_s < at_s:
                yield shown
                time_s = next(waiting, None)
            shown = frame
            if time_s is None:
                return
        while shown is not None and time_s is not None:
            yield shown
            time_s = next(waiting, None)
