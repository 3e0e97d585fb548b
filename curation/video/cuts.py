"""Where one shot ends and the next begins: jumps between frames half a second apart, pinned down to a frame of the grid.

A jump is large, and large beside its neighbours, so that a moving camera is no row of cuts; on the grid it must happen from one
frame to the next, so that a fast pan, a fade or a dissolve isn't one either.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dmforge.curation.video.media import Media
from dmforge.curation.video.read import read_coarse, stream_grid
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import GRID_FPS, last_index
from dmforge.schemas.records import Video

CELLS: Final = 8
"""Pictures are compared by the means of so many cells a side: a thing that moves changes few of them, a cut most."""
JUMP: Final = 8.0
"""Of 255: how far two frames are from each other, at least, where they may be of two shots."""
MOST: Final = 0.65
"""A cut changes more of a picture than anything that happens in a shot."""
BESIDE: Final = 2.5
"""So many times as far as the frames around are from each other: `benchmarks/cuts` shows what these cost and miss."""
SPARSE_S: Final = Fraction(3, 4)
"""In a long video coarse frames are further apart: most of them would be of different shots, and none stand out."""
EVERY: Final = GRID_FPS // 2
AROUND: Final = 4
"""Distances on each side that count as being around."""
AT_ONCE: Final = 0.5
"""This much of a jump happens between two neighbouring frames of the grid."""

Cells = NDArray[np.float32]


def cuts(media: Media, video: Video, clips: Clips) -> tuple[int, ...]:
    """The frames of the grid with which a new shot begins, ascending; not the first one."""
    last = last_index(Fraction(video.duration_cs, 100))
    at, looks = _looked_at(media, video, clips, last)
    distances = apart(looks[:-1], looks[1:])
    spans = [(at[number], min(last, at[number + 1])) for number in jumps(distances)]
    return tuple(found for first, stop in spans if (found := _pinned(media, first, stop)) is not None)


def _looked_at(media: Media, video: Video, clips: Clips, last: int) -> tuple[list[int], Cells]:
    """Frames of the grid, twice a second or so, and what they look like; from the coarse clip if that has so many."""
    plan = clips.coarse(video)
    if plan.times_s[1] - plan.times_s[0] <= SPARSE_S:
        return [int(time_s * GRID_FPS) for time_s in plan.times_s], np.stack(
            [cells(picture) for picture in read_coarse(media.coarse, plan.indices)]
        )
    at = sorted({*range(0, last, EVERY), last})
    return at, np.stack([cells(picture) for picture in stream_grid(media.grid, at)])


def jumps(distances: NDArray[np.float32]) -> list[int]:
    """Which distances stand out."""
    found: list[int] = []
    for at, distance in enumerate(distances):
        near = np.concatenate([distances[max(0, at - AROUND) : at], distances[at + 1 : at + 1 + AROUND]])
        usual = float(np.median(near)) if near.size else 0.0
        if distance > JUMP and distance > BESIDE * usual:
            found.append(at)
    return found


def apart(one: Cells, other: Cells) -> NDArray[np.float32]:
    """How far pictures are from each other: so far, at least, are `MOST` of their cells."""
    return np.quantile(np.abs(one - other).max(axis=-1), 1 - MOST, axis=(-2, -1))


def cells(picture: NDArray[np.uint8]) -> Cells:
    """The means of `CELLS` x `CELLS` parts of a picture; sizes are multiples of 32."""
    high, wide = picture.shape[0] // CELLS, picture.shape[1] // CELLS
    parts = picture[: high * CELLS, : wide * CELLS].reshape(CELLS, high, CELLS, wide, 3)
    return parts.mean(axis=(1, 3), dtype=np.float32)


def _pinned(media: Media, first: int, stop: int) -> int | None:
    """The frame between two others with which the picture changes at once, if there is one."""
    looks = [cells(picture) for picture in stream_grid(media.grid, range(first, stop + 1))]
    steps = [float(apart(before, after)) for before, after in itertools.pairwise(looks)]
    whole = float(apart(looks[0], looks[-1]))
    if not steps or max(steps) < AT_ONCE * whole or max(steps) < AT_ONCE * JUMP:
        return None
    return first + 1 + steps.index(max(steps))
