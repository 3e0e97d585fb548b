"""Finds cuts between shots: jumps between frames half a second apart, located to a frame of the grid.

A jump is large, also compared with its neighbours, so that a moving camera is no row of cuts; on the grid it must happen from
one frame to the next, so that a fast pan, a fade or a dissolve isn't one either.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dmforge.curation.video.media import Media
from dmforge.curation.video.read_frames import read_coarse, stream_grid
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import GRID_FPS, last_index
from dmforge.schemas.records import Video

CELLS: Final = 8
"""Cells a side by whose means pictures are compared: a thing that moves changes few of them, a cut most."""
MIN_DISTANCE: Final = 8.0
"""The least distance, of 255, between two frames that may belong to two shots."""
CHANGED_SHARE: Final = 0.65
"""The share of its cells by which a picture's distance is measured: a cut changes more of them than motion does."""
NEIGHBOUR_RATIO: Final = 2.5
"""A jump is this many times as large as the usual distance around it: `benchmarks/cuts` shows what is missed."""
MAX_COARSE_GAP_S: Final = Fraction(3, 4)
"""Coarse frames are used up to this gap. In a long video they are further apart: most would be of different shots."""
STEP_FRAMES: Final = GRID_FPS // 2
NEIGHBOURS: Final = 4
"""How many distances on each side a jump is compared with."""
MIN_STEP_SHARE: Final = 0.5
"""The share of a jump that must happen between two neighbouring frames of the grid."""

Cells = NDArray[np.float32]


def cuts(media: Media, video: Video, clips: Clips) -> tuple[int, ...]:
    """The frames of the grid with which a new shot begins, ascending, without the video's first frame."""
    last_frame = last_index(Fraction(video.duration_cs, 100))
    sampled_indices, frame_cells = _sampled_cells(media, video, clips, last_frame)
    jump_distances = cell_distances(frame_cells[:-1], frame_cells[1:])
    jump_spans = [
        (sampled_indices[jump_index], min(last_frame, sampled_indices[jump_index + 1])) for jump_index in jumps(jump_distances)
    ]
    return tuple(
        cut_frame
        for first_of_jump, last_of_jump in jump_spans
        if (cut_frame := _locate_cut(media, first_of_jump, last_of_jump)) is not None
    )


def _sampled_cells(media: Media, video: Video, clips: Clips, last_frame: int) -> tuple[list[int], Cells]:
    """Frames of the grid, about two a second, and their cells; from the coarse clip if that is dense enough."""
    coarse_plan = clips.coarse(video)
    if coarse_plan.times_s[1] - coarse_plan.times_s[0] <= MAX_COARSE_GAP_S:
        return [int(time_s * GRID_FPS) for time_s in coarse_plan.times_s], np.stack(
            [cells(frame_pixels) for frame_pixels in read_coarse(media.coarse, coarse_plan.indices)]
        )
    sampled_indices = sorted({*range(0, last_frame, STEP_FRAMES), last_frame})
    return sampled_indices, np.stack([cells(frame_pixels) for frame_pixels in stream_grid(media.grid, sampled_indices)])


def jumps(distances: NDArray[np.float32]) -> list[int]:
    """The indices of the distances that stand out."""
    jump_indices: list[int] = []
    for distance_index, frame_distance in enumerate(distances):
        neighbour_distances = np.concatenate(
            [
                distances[max(0, distance_index - NEIGHBOURS) : distance_index],
                distances[distance_index + 1 : distance_index + 1 + NEIGHBOURS],
            ]
        )
        usual_distance = float(np.median(neighbour_distances)) if neighbour_distances.size else 0.0
        if frame_distance > MIN_DISTANCE and frame_distance > NEIGHBOUR_RATIO * usual_distance:
            jump_indices.append(distance_index)
    return jump_indices


def cell_distances(cells_a: Cells, cells_b: Cells) -> NDArray[np.float32]:
    """The distances of pictures: how far apart at least `CHANGED_SHARE` of their cells are."""
    return np.quantile(np.abs(cells_a - cells_b).max(axis=-1), 1 - CHANGED_SHARE, axis=(-2, -1))


def cells(picture: NDArray[np.uint8]) -> Cells:
    """The means of `CELLS` x `CELLS` parts of a picture; sizes are multiples of 32."""
    cell_height, cell_width = picture.shape[0] // CELLS, picture.shape[1] // CELLS
    cell_pixels = picture[: cell_height * CELLS, : cell_width * CELLS].reshape(CELLS, cell_height, CELLS, cell_width, 3)
    return cell_pixels.mean(axis=(1, 3), dtype=np.float32)


def _locate_cut(media: Media, first_frame: int, last_frame: int) -> int | None:
    """The frame from `first_frame` to `last_frame` with which the picture changes abruptly, if there is one."""
    frame_cells = [cells(frame_pixels) for frame_pixels in stream_grid(media.grid, range(first_frame, last_frame + 1))]
    step_distances = [
        float(cell_distances(earlier_cells, later_cells)) for earlier_cells, later_cells in itertools.pairwise(frame_cells)
    ]
    total_distance = float(cell_distances(frame_cells[0], frame_cells[-1]))
    if (
        not step_distances
        or max(step_distances) < MIN_STEP_SHARE * total_distance
        or max(step_distances) < MIN_STEP_SHARE * MIN_DISTANCE
    ):
        return None
    return first_frame + 1 + step_distances.index(max(step_distances))
