"""Worlds in which density matters, packed without a lake: what a policy practises on when a trainer is measured.

An object is shown for some whole seconds, and while it is there the background flickers between them in the colour that is
the answer. Between whole seconds, so a coarse clip of 1 fps shows the object and not the colour: slow flickers are seen at 2
frames a second, quick ones only at 4. Who wants to answer has to look at the right window, and densely enough.

A teacher may be biased as people are: its windows too wide, the density too low where it matters, some answers wrong. What
imitation learns from it, rewards that are exact can mend.

What is asked to be answered need not be what shows: golds may be coin flips, or drawn without regard to the frames. Where to
look is then as sure as ever, and the answer a reward that says little or nothing. The frames are the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np

from dmforge.curation.packing.drawn_videos import DrawnVideo, pack_drawn, task_sample, trajectory_sample
from dmforge.curation.shards.document import ShardSample
from dmforge.generators.footage import Pixels
from dmforge.generators.synthetic.worlds.script import COLOURS
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.grammar import Trajectory, transcribe
from dmforge.schemas.ids import digest
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.prompts import prompt
from dmforge.schemas.records import Task
from dmforge.schemas.transcript import Transcript

SIDE = 32
"""Pixels: one visual token a temporal patch."""
DURATION_S = 12
LENGTHS_S = (2, 3, 4)
SLOW, QUICK = Fraction(2), Fraction(4)
CLIPS = Clips(coarse_fps=Fraction(1), look_frames=24, coarse_tokens=128, look_tokens=128)
SHAPES = ("circle", "square")
Golds = Literal["shown", "coin", "chance"]
"""`shown`: the colour that flickers. `coin`: of half of the worlds a coin flip between that and another. `chance`: any colour,
drawn without regard to what flickers."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """How a teacher errs."""

    widest_s: int = 0
    """Each end of a window is up to so many seconds too far out."""
    wrong_density: float = 0.0
    """Share of quick flickers that it looks at too sparsely."""
    wrong_answer: float = 0.0
    twice: bool = False
    """It looks once more, at one second of what it has just seen."""


EXACT, BIASED = Teacher(), Teacher(2, 0.65, 0.15)


@dataclass(frozen=True, slots=True)
class World:
    """One video, and what is asked about it."""

    number: int
    seed: int
    golds: Golds = "shown"

    @property
    def _draw(self) -> Random:
        return Random(f"flicker {self.seed} {self.number}")

    @property
    def told(self) -> tuple[Window, str, str, str, bool]:
        """The window, the object's colour and shape, the colour that flickers, and whether it does so quickly."""
        draw = self._draw
        length_s = draw.choice(LENGTHS_S)
        start_s = draw.randrange(DURATION_S - length_s)
        window = Window(100 * start_s, 100 * (start_s + length_s))
        return window, draw.choice([*COLOURS]), draw.choice(SHAPES), draw.choice([*COLOURS]), draw.random() < 0.5

    @property
    def look(self) -> Look:
        window, *_, quick = self.told
        return Look(window, QUICK if quick else SLOW)

    @property
    def gold(self) -> str:
        """The answer that counts as right."""
        shown, draw = self.told[3], Random(f"gold {self.golds} {self.seed} {self.number}")
        if self.golds == "chance":
            return draw.choice([*COLOURS])
        if self.golds == "coin" and draw.random() < 0.5:
            return draw.choice([shown, draw.choice([colour for colour in COLOURS if colour != shown])])
        return shown

    @property
    def task(self) -> Task:
        window, colour, shape, _, quick = self.told
        question = f"Which colour flashes {'quickly' if quick else 'slowly'} while the {colour} {shape} is shown?"
        return Task(self.video_id, "open", question, (), self.gold, (window,), "any")

    @property
    def video_id(self) -> bytes:
        return digest("video", ["flicker", self.seed, self.number])

    def frames(self) -> Pixels:
        """The whole video on the grid."""
        window, colour, shape, answer, quick = self.told
        noise = np.random.default_rng([self.seed, self.number])
        numbers = np.arange(DURATION_S * GRID_FPS)
        there = (numbers >= window.start_cs * GRID_FPS // 100) & (numbers <= window.end_cs * GRID_FPS // 100)
        quarter = (numbers % GRID_FPS * 4 + 6) // GRID_FPS % 4
        flickers = there & ((quarter % 2 == 1) if quick else (quarter > 0))
        frames = np.broadcast_to(noise.integers(0, 60, 3), (len(numbers), SIDE, SIDE, 3)).astype(np.float64)
        frames[flickers] = COLOURS[answer]
        down, across = np.mgrid[0:SIDE, 0:SIDE] - (SIDE - 1) / 2
        inside = down**2 + across**2 <= (0.28 * SIDE) ** 2 if shape == "circle" else np.maximum(abs(down), abs(across)) <= 9
        frames[np.ix_(there)] = np.where(inside[..., None], np.array(COLOURS[colour]), frames[there])
        return (frames + noise.normal(0, 4, frames.shape)).clip(0, 255).astype(np.uint8)

    def taught(self, teacher: Teacher) -> Transcript:
        """A trajectory, with the teacher's errors. It knows what flickers, and not what counts as right."""
        window, _, _, answer, quick = self.told
        draw = Random(f"teacher {self.seed} {self.number}")
        before, after = (100 * draw.randint(0, teacher.widest_s) for _ in range(2))
        seen = Window(max(0, window.start_cs - before), min(100 * DURATION_S, window.end_cs + after))
        fps = QUICK if quick and draw.random() >= teacher.wrong_density else SLOW
        if draw.random() < teacher.wrong_answer:
            answer = draw.choice([colour for colour in COLOURS if colour != answer])
        looks = (
            (Look(seen, fps), Look(Window(seen.start_cs, seen.start_cs + 100), fps)) if teacher.twice else (Look(seen, fps),)
        )
        thoughts = ("", *("Again." for _ in looks[1:]), f"It flashes {answer}.")
        return transcribe(prompt(self.task), Trajectory(thoughts, looks, answer))


def cot(folder: Path, worlds: int, seed: int, teacher: Teacher = EXACT) -> Path:
    """Trajectories of a teacher."""
    told = (World(number, seed) for number in range(worlds))
    samples = ((world, trajectory_sample(world.task, world.taught(teacher), "flicker")) for world in told)
    return _published(folder, "cot", f"flicker{seed}x{worlds}", samples)


def rl(folder: Path, worlds: int, seed: int, golds: Golds = "shown", *, aimed: bool = True) -> Path:
    """Tasks with exact targets; or with nothing that says where to look."""
    told = (World(number, seed, golds) for number in range(worlds))
    tasks = ((world, task_sample(world.task, (world.look,))) for world in told)
    samples = ((world, task if aimed else replace(task, target=None, windows=())) for world, task in tasks)
    return _published(folder, "rl", f"flicker{seed}x{worlds}", samples)


def _published(folder: Path, name: str, selection: str, samples: Iterator[tuple[World, ShardSample]]) -> Path:
    videos = (
        DrawnVideo(world.video_id, "flicker", f"flicker {world.seed} {world.number}", world.frames(), [sample])
        for world, sample in samples
    )
    return pack_drawn(folder, name, selection, CLIPS, videos)
