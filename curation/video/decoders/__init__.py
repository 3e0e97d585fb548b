"""Decoders: one protocol, several backends. Each returns the frame that was on screen, or says why it can't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def refuse_if(faults: Mapping[str, bool], path: Path) -> None:
    """Refuse a file for the first of these faults that it has: a backend must not guess what it is known to get wrong."""
    for fault, is_present in faults.items():
        if is_present:
            raise UnusableVideo("not this backend", fault, where=str(path))


class Decoder(Protocol):
    """Reads frames from files. Stateless: a file is opened for each clip."""

    name: str

    def read(self, path: Path, times_s: Sequence[Fraction], size: Size | None = None) -> DecodedClip:
        """The frames on screen at these times, counted from the first frame; as large as they are displayed, or at `size`."""
        ...
