"""What a video looks like, in few bits: enough to find it again re-encoded, resized, brightened or trimmed.

A hash of 64 bits for each frame that is sampled, four a second: is each of 8 x 8 places brighter than its left neighbour? Two
videos are copies if most frames of the shorter one look like some frame of the other. Frames without contrast say nothing and
are left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmforge.curation.video.decoders import Frames
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Record

SAMPLES_FPS = 4
SIDE = 8
LEAST_CONTRAST = 4.0
"""Standard deviation of luma, of 255, below which a frame is as good as blank."""
AT_ONCE = 1 << 20
"""Pairs of frames that are compared at once: ten hours against ten hours would not fit into memory."""
NEAR_BITS = 9
"""Frames with hashes that differ in no more bits look the same. Unrelated ones differ in 32, the nearest of hundreds in 15."""
COMMON = 200
"""What more videos share tells nothing: a title, a test picture."""
COPY_SHARE = 0.7
"""Of the frames of the shorter video."""


@dataclass(frozen=True, slots=True)
class Fingerprint(Record):
    """The frames of a video as hashes, in their order."""

    kind = "fingerprint"
    table = "fingerprints"

    video: Id
    hashes: tuple[int, ...]


def sampled(frames: int) -> range:
    """Which frames of the grid are looked at."""
    return range(0, frames, GRID_FPS // SAMPLES_FPS)


def hashes(frames: Iterable[Frames]) -> tuple[int, ...]:
    """A hash for each frame that has any contrast."""
    found = (_hash(frame) for frame in frames)
    return tuple(one for one in found if one is not None)


def likeness(one: Sequence[int], other: Sequence[int]) -> float:
    """The share of the shorter video's frames that look like some frame of the other; 0 where one of them has none."""
    shorter, longer = sorted((_unsigned(one), _unsigned(other)), key=len)
    if not len(shorter):
        return 0.0
    rows = max(1, AT_ONCE // len(longer))
    found = 0
    for begin in range(0, len(shorter), rows):
        differing = np.bitwise_count(shorter[begin : begin + rows, None] ^ longer[None, :]).min(axis=1)
        found += int((differing <= NEAR_BITS).sum())
    return found / len(shorter)


def are_copies(one: Sequence[int], other: Sequence[int]) -> bool:
    return likeness(one, other) >= COPY_SHARE


def copies(prints: Mapping[Id, Sequence[int]]) -> Iterator[tuple[Id, Id]]:
    """All pairs of videos that are copies. Compared are those that share half of the bits of some frame, exactly: of a copy
    many frames do, of other videos hardly any."""
    videos = sorted(video for video, own in prints.items() if own)
    for one, other in sorted(_likely([np.unique(_unsigned(prints[video])) for video in videos])):
        if are_copies(prints[videos[one]], prints[videos[other]]):
            yield videos[one], videos[other]


def _likely(looks: Sequence[NDArray[np.uint64]]) -> set[tuple[int, int]]:
    if not looks:
        return set()
    owners = np.repeat(np.arange(len(looks)), [len(own) for own in looks])
    whole = np.concatenate(looks)
    found: set[tuple[int, int]] = set()
    for half in (whole >> np.uint64(32), whole & np.uint64(0xFFFFFFFF)):
        order = np.argsort(half, kind="stable")
        cuts = np.flatnonzero(np.diff(half[order])) + 1
        for run in np.split(owners[order], cuts):
            sharing = np.unique(run)
            if 1 < len(sharing) <= COMMON:
                found.update(itertools.combinations(sharing.tolist(), 2))
    return found


def _hash(frame: Frames) -> int | None:
    red, green, blue = np.moveaxis(frame.astype(np.float32), 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # no matrix product: it would start a pool of threads in each worker
    if float(luma.std()) < LEAST_CONTRAST:
        return None
    small = _shrunk(luma, SIDE, SIDE + 1)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int(np.packbits(bits).view(">i8")[0])


def _shrunk(luma: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Means of areas, whatever the size: sums up to each edge, subtracted."""
    sums = np.pad(luma.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    down = np.linspace(0, luma.shape[0], rows + 1).round().astype(int)
    right = np.linspace(0, luma.shape[1], columns + 1).round().astype(int)
    corners = sums[down][:, right]
    areas = np.diff(down)[:, None] * np.diff(right)[None, :]
    return np.diff(np.diff(corners, axis=0), axis=1) / np.maximum(areas, 1)


def _unsigned(values: Sequence[int]) -> NDArray[np.uint64]:
    return np.array(values, np.int64).view(np.uint64)
