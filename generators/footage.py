"""The clips that a model is shown of one video: the coarse clip, and the clip of each look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dmforge.schemas.looks import Look
from dmforge.schemas.sizes import CELL
from dmforge.schemas.stamps import patch_times, patches
from dmforge.schemas.transcript import Piece

Pixels = NDArray[np.uint8]
"""Frames x height x width x 3."""


@dataclass(frozen=True, slots=True)
class ShownClip:
    """Frames as a model is shown them, with the time of each."""

    frames: Pixels
    times_s: tuple[Fraction, ...]

    def __post_init__(self) -> None:
        frames_shape = self.frames.shape
        if len(frames_shape) != 4 or frames_shape[3] != 3 or not len(self.times_s) == frames_shape[0] > 0:
            raise ValueError(
                f"a clip needs a time for each frame, not {len(self.times_s)} times for frames of shape {frames_shape}"
            )
        if frames_shape[1] % CELL or frames_shape[2] % CELL:
            raise ValueError(f"frames of {frames_shape[2]} x {frames_shape[1]} are not on the grid of {CELL} pixels")

    @property
    def stamps_s(self) -> tuple[Fraction, ...]:
        """The time of each temporal patch."""
        return patch_times(self.times_s)

    @property
    def cells(self) -> tuple[int, int]:
        """Visual tokens of a temporal patch, down and across."""
        return self.frames.shape[1] // CELL, self.frames.shape[2] // CELL

    @property
    def tokens(self) -> int:
        """Visual tokens of the clip."""
        cells_down, cells_across = self.cells
        return patches(len(self.times_s)) * cells_down * cells_across


class Footage(Protocol):
    """One video as a source of clips."""

    def coarse(self) -> ShownClip:
        """The coarse clip V0, of the whole video."""
        ...

    def look(self, look: Look) -> ShownClip:
        """The clip V1 of a look. Raises `NoFrames` where it begins after the end of the video."""
        ...


class CachedFootage:
    """Footage with a cache: the same look gives the same clip object, for the last few looks or for all."""

    def __init__(self, footage: Footage, max_cached: int | None = 8) -> None:
        self._footage, self._max_cached = footage, max_cached
        self.coarse = cache(footage.coarse)
        self.look = lru_cache(max_cached)(footage.look)

    def __reduce__(self) -> tuple[type[CachedFootage], tuple[Footage, int | None]]:
        """It goes from one process to another without what it has cached."""
        return CachedFootage, (self._footage, self._max_cached)


@dataclass(frozen=True, slots=True)
class PromptPiece:
    """A piece of a transcript, with its frames where it is a clip."""

    piece: Piece
    clip: ShownClip | None = None

    def __post_init__(self) -> None:
        if self.piece.is_clip != (self.clip is not None):
            raise ValueError("a clip has frames, and a text has none")


def show(pieces: Sequence[Piece], footage: Footage) -> tuple[PromptPiece, ...]:
    """Pieces with the frames that belong to them."""
    return tuple(_shown(piece, footage) for piece in pieces)


def _shown(piece: Piece, footage: Footage) -> PromptPiece:
    if not piece.is_clip:
        return PromptPiece(piece)
    return PromptPiece(piece, footage.coarse() if piece.look is None else footage.look(piece.look))
