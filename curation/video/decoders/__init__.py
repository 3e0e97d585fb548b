"""Decoders: one protocol, several backends. Each returns the frame that was on screen, or says why it can't."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dmforge.curation.video.unusable import UnusableVideo
from dmforge.schemas.sizes import Size

Frames = NDArray[np.uint8]
"""Frames x height x width x RGB, upright, with square pixels."""


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """Requested frames, in the order of the request."""

    frames: Frames
    shown_s: tuple[Fraction, ...]
    """When each frame was first shown: at most the requested time."""


def in_request_order(
    requested_frames: Sequence[int], decode: Callable[[Sequence[int]], Iterator[tuple[int, Frames]]]
) -> Frames:
    """The requested pictures, in the order of the request; each is decoded once, ascending."""
    positions_by_key: defaultdict[int, list[int]] = defaultdict(list)
    for request_position, frame_key in enumerate(requested_frames):
        positions_by_key[frame_key].append(request_position)
    ordered_frames: Frames | None = None
    for frame_key, frame_pixels in decode(sorted(positions_by_key)):
        if ordered_frames is None:
            ordered_frames = np.empty((len(requested_frames), *frame_pixels.shape), np.uint8)
        ordered_frames[positions_by_key[frame_key]] = frame_pixels
    if ordered_frames is None:
        raise ValueError("no frame was asked for")
    return ordered_frames


def refuse_if(is_fault_present: Mapping[str, bool], path: Path) -> None:
    """Refuse a file for the first of these faults that it has: a backend must not guess what it is known to get wrong."""
    for fault_text, is_present in is_fault_present.items():
        if is_present:
            raise UnusableVideo("not this backend", fault_text, where=str(path))


class Decoder(Protocol):
    """Reads frames from files. Stateless: a file is opened for each clip."""

    name: str

    def read(self, path: Path, times_s: Sequence[Fraction], size: Size | None = None) -> DecodedClip:
        """The frames on screen at these times, counted from the first frame; as large as they are displayed, or at `size`."""
        ...
