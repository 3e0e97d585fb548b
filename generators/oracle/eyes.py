"""Which world is it, and which of its frames were really shown? Found in the pictures, and compared with the script."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmforge.generators.oracle.request import Asked
from dmforge.generators.worlds.draw import Picture, backdrop, read_timecode
from dmforge.generators.worlds.folder import read_settings
from dmforge.generators.worlds.questions import Question, questions
from dmforge.generators.worlds.script import FPS, Script
from dmforge.generators.worlds.sight import GRID, ROWS, Cells, Eye, cells
from dmforge.schemas.frames import MIN_COARSE_FRAMES, NoFrames, plan_coarse, plan_look
from dmforge.schemas.stamps import patch_times, stamp

BLOCKS = (5, 4)
"""Rows and columns of the grid that a signature takes together."""
TOLERANCE = 14.0
"""How far, on average, a picture may be from what the script shows. Three encodings cost about 6; another world is 25 away."""
WRONG, SPECKS = 110, 2
"""Cells that are so far off are not what the script shows; an edge may have some of them, even the smallest object has more."""
COARSE = 4
COARSE_TOLERANCE = 20.0
"""A picture of one pixel a cell has lost more to its encoding, above all colour: it is compared in blocks of so many cells a
side. What the script shows is then up to 18 away, the same frame of a rival at least 40 (on worlds for a study)."""
UNCOVERED, UNCOVERED_NEAR = 0.5, 0.2
"""So much of the backdrop is seen beside an object, and beside one that is near."""
VOTERS = 5
WORLDS_KEPT = 16
"""Worlds whose drawn frames are kept: requests about one video come together."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a request showed."""

    number: int
    script: Script
    questions: tuple[Question, ...]
    eye: Eye
    pictures: dict[int, Cells]
    """By frame: those that are what the script shows at the time that their stamp says."""
    stamps: dict[int, str]
    """The stamp over each of them."""

    @property
    def frames(self) -> frozenset[int]:
        return frozenset(self.pictures)

    def told(self, rival: Script) -> bool:
        """Whether the pictures, not the script, rule a rival out."""
        return any(self.eye.tells(rival, frame, picture) for frame, picture in self.pictures.items())


class Gallery:
    """All worlds of a folder, to be recognised by their backdrops."""

    def __init__(self, folder: Path) -> None:
        self._settings = read_settings(folder)
        numbers = range(self._settings.videos)
        self._scripts = [self._settings.script(number) for number in numbers]
        self._uncovered = UNCOVERED_NEAR if self._settings.study else UNCOVERED
        self._known = lru_cache(maxsize=WORLDS_KEPT)(self._opened)
        self._signatures = np.stack([_signature(cells(self._backdrop(script))) for script in self._scripts])

    def see(self, asked: Asked) -> Seen | None:
        """What a request shows of one world, or None where that is not to be told."""
        shown = [picture for pair in asked.pictures for picture in pair]
        number = self._recognised(shown)
        if number is None:
            return None
        script = self._scripts[number]
        eye, asked_of_it = self._known(number)
        pictures: dict[int, Cells] = {}
        stamps: dict[int, str] = {}
        for pair, printed, expected, indices in zip(asked.pictures, asked.stamps, *_planned(script, asked), strict=False):
            for picture, frame in zip(pair, indices, strict=False):
                if (
                    printed == expected
                    and read_timecode(picture) == frame
                    and _shows(picture, seen := cells(picture), eye.expected(frame))
                ):
                    pictures[frame], stamps[frame] = seen, printed
        return Seen(number, script, asked_of_it, eye, pictures, stamps)

    def _opened(self, number: int) -> tuple[Eye, tuple[Question, ...]]:
        script = self._scripts[number]
        return Eye(script, self._settings.width, self._settings.height), questions(script)

    def _recognised(self, shown: list[Picture]) -> int | None:
        votes: Counter[int] = Counter()
        for picture in shown[:: max(1, len(shown) // VOTERS)]:
            frame = read_timecode(picture)
            if frame is None or min(picture.shape[:2]) < GRID:
                continue
            signature = _signature(cells(np.roll(picture, -self._drift(picture, frame), axis=1)))
            distances = np.quantile(np.abs(self._signatures - signature).max(axis=2), self._uncovered, axis=1)
            votes[int(distances.argmin())] += 1
        return votes.most_common(1)[0][0] if votes else None

    def _drift(self, picture: Picture, frame: int) -> int:
        """How far the backdrop has moved, in pixels of this picture."""
        return frame * picture.shape[1] // self._settings.width if self._settings.knobs.drifts else 0

    def _backdrop(self, script: Script) -> Picture:
        return backdrop(script.seed, self._settings.width, self._settings.height)


def _planned(script: Script, asked: Asked) -> tuple[list[str], list[tuple[int, ...]]]:
    """The stamps and frames, pair by pair, that a clip of this world must show, going by what was said about it."""
    try:
        if asked.look is not None:
            times = plan_look(asked.look, script.duration_s).times_s
        else:
            count = sum(map(len, asked.pictures))
            times = plan_coarse(script.duration_s, Fraction(count) / script.duration_s, max(count, MIN_COARSE_FRAMES)).times_s
    except (NoFrames, ValueError):
        return [], []
    frames = [int(time_s * FPS) for time_s in times]
    pairs = [tuple((frames[at : at + 2] * 2)[:2]) for at in range(0, len(frames), 2)]
    return [stamp(time_s) for time_s in patch_times(times)], pairs


def _shows(picture: Picture, seen: Cells, expected: Cells) -> bool:
    if min(picture.shape[:2]) >= 2 * GRID:
        return is_of(seen, expected)
    return is_of(_in_blocks(seen), _in_blocks(expected), COARSE_TOLERANCE)


def _in_blocks(seen: Cells) -> Cells:
    rows, columns = ROWS // COARSE, GRID // COARSE
    return seen[: rows * COARSE].reshape(rows, COARSE, columns, COARSE, 3).mean(axis=(1, 3))


def is_of(seen: Cells, expected: Cells, tolerance: float = TOLERANCE) -> bool:
    """Whether a picture is what the script shows: on the whole, and with nothing in it that should not be, or missing."""
    far = np.abs(seen - expected).max(axis=2)
    return float(far.mean()) < tolerance and int((far > WRONG).sum()) <= SPECKS


def _signature(seen: Cells) -> NDArray[np.float32]:
    """A few blocks of colour, most of which no object ever covers: blocks x 3."""
    rows, columns = BLOCKS
    blocks = seen[: ROWS // rows * rows].reshape(ROWS // rows, rows, GRID // columns, columns, 3).mean(axis=(1, 3))
    return blocks.reshape(-1, 3)
