"""Recognises a world, and which of its frames a request really shows, from the pictures, compared with the world's script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmforge.generators.synthetic.oracle.oracle_request import OracleRequest
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.rasterize import Picture, backdrop, read_timecode
from dmforge.generators.synthetic.worlds.script import FPS, Script
from dmforge.generators.synthetic.worlds.sight import GRID, ROWS, Cells, WorldEye, cells
from dmforge.generators.synthetic.worlds.world_folder import read_settings
from dmforge.generators.synthetic.worlds.world_questions import questions
from dmforge.schemas.frames import MIN_COARSE_FRAMES, NoFrames, plan_coarse, plan_look
from dmforge.schemas.looks import Look
from dmforge.schemas.stamps import patch_times, stamp

BLOCKS = (5, 4)
"""Rows and columns of the grid that make one block of a signature."""
TOLERANCE = 14.0
"""The largest mean difference between a picture and what the script shows. Three encodings cost about 6; another world is 25
away."""
WRONG, SPECKS = 110, 2
"""A cell that differs by more than the first is wrong, and so many may be: edges have some, even the smallest object has
more."""
COARSE = 4
COARSE_TOLERANCE = 20.0
"""A picture of one pixel a cell has lost more to its encoding, above all colour: it is compared in blocks of so many cells a
side. What the script shows is then up to 18 away, the same frame of a rival at least 40 (on worlds for a study)."""
UNCOVERED, UNCOVERED_NEAR = 0.5, 0.2
"""The share of the backdrop that stays visible beside an object, and beside a near one."""
VOTERS = 5
WORLDS_KEPT = 16
"""Worlds whose drawn frames are cached: requests about one video come together."""


@dataclass(frozen=True, slots=True)
class SeenFrames:
    """What the oracle recognised in a request."""

    world_index: int
    script: Script
    questions: tuple[WorldQuestion, ...]
    eye: WorldEye
    pictures: dict[int, Cells]
    """By frame: the pictures that match the script at the time of their stamp."""
    stamps: dict[int, str]
    """The stamp over each of these pictures, by frame."""

    @property
    def frames(self) -> frozenset[int]:
        return frozenset(self.pictures)

    def told(self, rival: Script) -> bool:
        """The pictures (not the script) rule a rival out."""
        return any(self.eye.tells(rival, frame_index, picture) for frame_index, picture in self.pictures.items())


class WorldGallery:
    """The worlds of a folder, which are recognised by their backdrops."""

    def __init__(self, worlds_folder: Path) -> None:
        self._settings = read_settings(worlds_folder)
        world_indices = range(self._settings.videos)
        self._scripts = [self._settings.script(world_index) for world_index in world_indices]
        self._uncovered = UNCOVERED_NEAR if self._settings.study else UNCOVERED
        self._cached_world = lru_cache(maxsize=WORLDS_KEPT)(self._draw_world)
        self._signatures = np.stack([_signature(cells(self._backdrop(script))) for script in self._scripts])

    def see(self, request: OracleRequest) -> SeenFrames | None:
        """What a request shows of one world; None where no world is recognised."""
        pictures_shown = [seen_picture for picture_pair in request.pictures for seen_picture in picture_pair]
        world_index = self._recognise(pictures_shown)
        if world_index is None:
            return None
        script = self._scripts[world_index]
        world_eye, world_questions = self._cached_world(world_index)
        cells_by_frame: dict[int, Cells] = {}
        stamp_by_frame: dict[int, str] = {}
        for picture_pair, printed_stamp, expected_stamp, frame_indices in _expected_patches(script, request):
            for seen_picture, frame_index in zip(picture_pair, frame_indices, strict=False):
                if (
                    printed_stamp == expected_stamp
                    and read_timecode(seen_picture) == frame_index
                    and _matches_script(seen_picture, cells_seen := cells(seen_picture), world_eye.expected(frame_index))
                ):
                    cells_by_frame[frame_index], stamp_by_frame[frame_index] = cells_seen, printed_stamp
        return SeenFrames(world_index, script, world_questions, world_eye, cells_by_frame, stamp_by_frame)

    def _draw_world(self, world_index: int) -> tuple[WorldEye, tuple[WorldQuestion, ...]]:
        script = self._scripts[world_index]
        return WorldEye(script, self._settings.width, self._settings.height), questions(script)

    def _recognise(self, pictures_shown: list[Picture]) -> int | None:
        votes_by_world: Counter[int] = Counter()
        for picture in pictures_shown[:: max(1, len(pictures_shown) // VOTERS)]:
            frame_index = read_timecode(picture)
            if frame_index is None or min(picture.shape[:2]) < GRID:
                continue
            backdrop_signature = _signature(cells(np.roll(picture, -self._drift(picture, frame_index), axis=1)))
            world_distances = np.quantile(np.abs(self._signatures - backdrop_signature).max(axis=2), self._uncovered, axis=1)
            votes_by_world[int(world_distances.argmin())] += 1
        return votes_by_world.most_common(1)[0][0] if votes_by_world else None

    def _drift(self, picture: Picture, frame_index: int) -> int:
        """The distance that the backdrop has moved by a frame, in pixels of this picture."""
        return frame_index * picture.shape[1] // self._settings.width if self._settings.knobs.drifts else 0

    def _backdrop(self, script: Script) -> Picture:
        return backdrop(script.seed, self._settings.width, self._settings.height)


def _expected_patches(
    script: Script, request: OracleRequest
) -> Iterator[tuple[tuple[Picture, ...], str, str, tuple[int, ...]]]:
    """The pictures under each stamp of a request, with the stamp and the frames that must stand there."""
    for clip_index, look in enumerate(request.clips):
        positions = [position for position, index in enumerate(request.clip_indices) if index == clip_index]
        pictures = [request.pictures[position] for position in positions]
        stamps = [request.stamps[position] for position in positions]
        yield from zip(pictures, stamps, *_expected_clip(script, look, sum(map(len, pictures))), strict=False)


def _expected_clip(script: Script, look: Look | None, picture_count: int) -> tuple[list[str], list[tuple[int, ...]]]:
    """The stamps and pairs of frames that a clip of this world must show, by the look that the request names."""
    try:
        if look is not None:
            times_s = plan_look(look, script.duration_s).times_s
        else:
            times_s = plan_coarse(
                script.duration_s, Fraction(picture_count) / script.duration_s, max(picture_count, MIN_COARSE_FRAMES)
            ).times_s
    except (NoFrames, ValueError):
        return [], []
    frame_indices = [int(time_s * FPS) for time_s in times_s]
    frame_pairs = [
        tuple((frame_indices[pair_start : pair_start + 2] * 2)[:2]) for pair_start in range(0, len(frame_indices), 2)
    ]
    return [stamp(time_s) for time_s in patch_times(times_s)], frame_pairs


def _matches_script(picture: Picture, seen_cells: Cells, expected_cells: Cells) -> bool:
    if min(picture.shape[:2]) >= 2 * GRID:
        return matches(seen_cells, expected_cells)
    return matches(_in_blocks(seen_cells), _in_blocks(expected_cells), COARSE_TOLERANCE)


def _in_blocks(seen_cells: Cells) -> Cells:
    block_rows, block_columns = ROWS // COARSE, GRID // COARSE
    return seen_cells[: block_rows * COARSE].reshape(block_rows, COARSE, block_columns, COARSE, 3).mean(axis=(1, 3))


def matches(seen_cells: Cells, expected_cells: Cells, tolerance: float = TOLERANCE) -> bool:
    """A picture matches what the script shows: on average, and with nothing added or missing."""
    cell_differences = np.abs(seen_cells - expected_cells).max(axis=2)
    return float(cell_differences.mean()) < tolerance and int((cell_differences > WRONG).sum()) <= SPECKS


def _signature(seen_cells: Cells) -> NDArray[np.float32]:
    """A few blocks of colour, most of which no object ever covers: blocks x 3."""
    block_rows, block_columns = BLOCKS
    block_means = (
        seen_cells[: ROWS // block_rows * block_rows]
        .reshape(ROWS // block_rows, block_rows, GRID // block_columns, block_columns, 3)
        .mean(axis=(1, 3))
    )
    return block_means.reshape(-1, 3)
