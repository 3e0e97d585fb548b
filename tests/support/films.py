"""Long videos of many shots, drawn frame by frame and encoded once: hosts for haystacks, with cuts that are known."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import numpy as np

from dmforge.curation.video.encode_h264 import encoding_h264
from dmforge.generators.synthetic.worlds.imagine import LEVELS, imagine
from dmforge.generators.synthetic.worlds.rasterize import draw, put_timecode
from dmforge.generators.synthetic.worlds.render import ENCODER
from dmforge.generators.synthetic.worlds.script import FPS
from dmforge.schemas.sizes import Size

SEEDS_FROM = 5_000_000
"""Worlds of films are none of those that an oracle knows."""


def shots(number: int, count: int) -> list[tuple[int, int, int]]:
    """The shots of a film: the seed of a world, and frames of it from one up to another, 2 to 5 s each."""
    chance = Random(f"film {number}")
    made: list[tuple[int, int, int]] = []
    for shot in range(count):
        frames = chance.randrange(2 * FPS, 5 * FPS)
        first = chance.randrange(12 * FPS - frames)
        made.append((SEEDS_FROM + 1000 * number + shot, first, first + frames))
    return made


def write_film(path: Path, told: Sequence[tuple[int, int, int]], width: int = 64, height: int = 64) -> list[int]:
    """Write the shots one after the other; the frames with which all but the first of them begin. The timecode runs through."""
    with encoding_h264(str(path), Size(width, height), FPS, ENCODER) as encode:
        number, begins = 0, list[int]()
        for seed, first, stop in told:
            script = imagine(seed, LEVELS[0])
            begins.append(number)
            for frame in range(first, stop):
                picture = draw(script, frame, width, height)
                put_timecode(picture, number)
                shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                shown.pts, shown.time_base = number, Fraction(1, FPS)
                encode(shown)
                number += 1
    return begins[1:]
