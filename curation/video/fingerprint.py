"""Perceptual fingerprints of videos: they find a video again that was re-encoded, resized, brightened or trimmed.

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
from dmforge.schemas.units import Hash

SAMPLES_FPS = 4
SIDE = 8
MIN_CONTRAST = 4.0
"""Standard deviation of luma, of 255, below which a frame is as good as blank."""
PAIRS_PER_BATCH = 1 << 20
"""How many pairs of frames are compared at once: ten hours against ten hours would not fit into memory."""
NEAR_BITS = 9
"""Frames with hashes that differ in no more bits look the same. Unrelated ones differ in 32, the nearest of hundreds in 15."""
MAX_SHARING_VIDEOS = 200
"""Half a hash that more videos share than this tells nothing: a title, a test picture."""
COPY_SHARE = 0.7
"""Two videos are copies where at least this share of the shorter one's frames look like frames of the other."""


@dataclass(frozen=True, slots=True)
class Fingerprint(Record):
    """The frames of a video as hashes, in their order."""

    kind = "fingerprint"
    table = "fingerprints"

    video: Id
    """The video that they are of."""
    hashes: tuple[Hash, ...]
    """Perceptual, 64 bits each; those without contrast are left out."""


def sampled_indices(frame_count: int) -> range:
    """The indices of the grid frames that are hashed."""
    return range(0, frame_count, GRID_FPS // SAMPLES_FPS)


def frame_hashes(frames: Iterable[Frames]) -> tuple[int, ...]:
    """A hash for each frame that has any contrast."""
    optional_hashes = (_frame_hash(frame) for frame in frames)
    return tuple(frame_hash for frame_hash in optional_hashes if frame_hash is not None)


def likeness(hashes_a: Sequence[int], hashes_b: Sequence[int]) -> float:
    """The share of the shorter video's frames that look like some frame of the other; 0 where one of them has none."""
    shorter_hashes, longer_hashes = sorted((_as_uint64(hashes_a), _as_uint64(hashes_b)), key=len)
    if not len(shorter_hashes):
        return 0.0
    rows_per_batch = max(1, PAIRS_PER_BATCH // len(longer_hashes))
    similar_frames = 0
    for batch_start in range(0, len(shorter_hashes), rows_per_batch):
        nearest_bit_distances = np.bitwise_count(
            shorter_hashes[batch_start : batch_start + rows_per_batch, None] ^ longer_hashes[None, :]
        ).min(axis=1)
        similar_frames += int((nearest_bit_distances <= NEAR_BITS).sum())
    return similar_frames / len(shorter_hashes)


def are_copies(hashes_a: Sequence[int], hashes_b: Sequence[int]) -> bool:
    return likeness(hashes_a, hashes_b) >= COPY_SHARE


def copies(hashes_by_video: Mapping[Id, Sequence[int]]) -> Iterator[tuple[Id, Id]]:
    """All pairs of videos that are copies. Only videos that share one half of a frame's hash exactly are compared: of a copy
    many frames do, of other videos hardly any."""
    hashed_videos = sorted(video_id for video_id, video_hashes in hashes_by_video.items() if video_hashes)
    for first_index, second_index in sorted(
        _candidate_pairs([np.unique(_as_uint64(hashes_by_video[video_id])) for video_id in hashed_videos])
    ):
        if are_copies(hashes_by_video[hashed_videos[first_index]], hashes_by_video[hashed_videos[second_index]]):
            yield hashed_videos[first_index], hashed_videos[second_index]


def _candidate_pairs(hash_sets: Sequence[NDArray[np.uint64]]) -> set[tuple[int, int]]:
    if not hash_sets:
        return set()
    video_of_hash = np.repeat(np.arange(len(hash_sets)), [len(video_hashes) for video_hashes in hash_sets])
    all_hashes = np.concatenate(hash_sets)
    index_pairs: set[tuple[int, int]] = set()
    for half_hashes in (all_hashes >> np.uint64(32), all_hashes & np.uint64(0xFFFFFFFF)):
        sorted_order = np.argsort(half_hashes, kind="stable")
        run_starts = np.flatnonzero(np.diff(half_hashes[sorted_order])) + 1
        for owner_run in np.split(video_of_hash[sorted_order], run_starts):
            sharing_indices = np.unique(owner_run)
            if 1 < len(sharing_indices) <= MAX_SHARING_VIDEOS:
                index_pairs.update(itertools.combinations(sharing_indices.tolist(), 2))
    return index_pairs


def _frame_hash(frame: Frames) -> int | None:
    red_channel, green_channel, blue_channel = np.moveaxis(frame.astype(np.float32), 2, 0)
    # no matrix product: it would start a pool of threads in each worker
    luma_values = 0.299 * red_channel + 0.587 * green_channel + 0.114 * blue_channel
    if float(luma_values.std()) < MIN_CONTRAST:
        return None
    area_means = _area_means(luma_values, SIDE, SIDE + 1)
    brighter_bits = (area_means[:, 1:] > area_means[:, :-1]).ravel()
    return int(np.packbits(brighter_bits).view(">i8")[0])


def _area_means(luma_values: NDArray[np.float32], row_count: int, column_count: int) -> NDArray[np.float32]:
    """Shrink a picture of any size to `row_count` x `column_count` area means, by differences of cumulative sums."""
    cumulative_sums = np.pad(luma_values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    row_edges = np.linspace(0, luma_values.shape[0], row_count + 1).round().astype(int)
    column_edges = np.linspace(0, luma_values.shape[1], column_count + 1).round().astype(int)
    corner_sums = cumulative_sums[row_edges][:, column_edges]
    area_sizes = np.diff(row_edges)[:, None] * np.diff(column_edges)[None, :]
    return np.diff(np.diff(corner_sums, axis=0), axis=1) / np.maximum(area_sizes, 1)


def _as_uint64(signed_hashes: Sequence[int]) -> NDArray[np.uint64]:
    return np.array(signed_hashes, np.int64).view(np.uint64)
