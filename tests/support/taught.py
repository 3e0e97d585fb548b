"""A student that looks where the pixels tell it to: so small that it is taught in seconds, for engines to be held against.

Red videos are looked at early, blue ones late; which second it is, chance decides. From near, each has a colour of its own,
and that is the answer. So where it looks depends on the pixels of V0, and what it answers on those of V1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import torch

from dmforge.generators.footage import Pixels, ShownClip, show
from dmforge.generators.student.load_student import Student
from dmforge.generators.student.patchify import normalised
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.student.token_layout import LaidOutTranscript
from dmforge.generators.synthetic.worlds.rasterize import picture_rows, put_timecode
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE, Piece, Transcript

QUESTION = Piece("prompt", "Which colour?")
COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200)}
EARLIEST = {"red": 2, "blue": 30}
TEXTS = ["Which colour?", "Early.", "Late.", "It is red.", "It is blue.", "10.00 - 30.00"]
STEPS, RATE = 300, 3e-3


@dataclass(frozen=True)
class Tinted:
    """A video at 12 frames a second whose every frame bears its number."""

    colour: str = "red"
    """From afar."""
    near: str = "blue"
    """What a look shows."""
    duration_s: Fraction = Fraction(48)
    first: int = 0
    """The number of its first frame: videos that don't share it share no frame."""
    cut: list[Look] = field(default_factory=list[Look])
    """The looks that were asked for."""

    def coarse(self) -> ShownClip:
        times_s = plan_coarse(self.duration_s, Fraction(1)).times_s
        return ShownClip(self._frames(times_s, 96, 64, self.colour), times_s)

    def look(self, look: Look) -> ShownClip:
        self.cut.append(look)
        times_s = plan_look(look, self.duration_s, max_frames=24).times_s
        return ShownClip(self._frames(times_s, 64, 32, self.near), times_s)

    def number(self, time_s: Fraction) -> int:
        """Of the frame that is on screen then."""
        return self.first + int(time_s * 12)

    def _frames(self, times_s: tuple[Fraction, ...], width: int, height: int, colour: str) -> Pixels:
        frames = np.zeros((len(times_s), height, width, 3), np.uint8)
        frames[:, : picture_rows(height)] = COLOURS[colour]
        for frame, time_s in zip(frames, times_s, strict=True):
            put_timecode(frame, self.number(time_s))
        return frames


def taught(seed: int = 0) -> Student:
    """A speck that has seen a few hundred such trajectories."""
    student = make_tiny("speck", TEXTS, seed)
    optimizer = torch.optim.AdamW(student.model.parameters(), lr=RATE)
    student.model.train()
    for laid in _lessons(student, Random(seed)):
        optimizer.zero_grad()
        _loss(student, laid).backward()
        torch.nn.utils.clip_grad_norm_(student.model.parameters(), 1.0)
        optimizer.step()
    student.model.eval()
    return student


def taught_folder(folder: Path) -> Path:
    """The same as a checkpoint."""
    taught().save(folder)
    return folder


def _lessons(student: Student, draw: Random) -> Iterator[LaidOutTranscript]:
    for step in range(STEPS):
        colour, near = ("red", "blue")[step % 2], draw.choice(("red", "blue"))
        footage = Tinted(colour, near, Fraction(48), draw.randrange(1000))
        start = EARLIEST[colour] + draw.randrange(6)
        look = Look(Window(start * 100, (start + 3) * 100), Fraction(draw.choice((1, 2))))
        thought = "Early." if colour == "red" else "Late."
        told = Transcript(
            (
                COARSE,
                QUESTION,
                Piece("policy", f"<think>{thought}<span>{start}.00 - {start + 3}.00</span><fps>{look.fps}</fps>"),
                Piece("runtime", look=look),
                Piece("policy", f"It is {near}.</think><answer>{near}</answer>"),
            )
        )
        yield student.layout.join(student.layout.transcript(show(told.pieces, footage)))


def _loss(student: Student, laid: LaidOutTranscript) -> torch.Tensor:
    logits = student.model(
        input_ids=torch.from_numpy(laid.ids)[None],
        position_ids=torch.from_numpy(laid.positions)[:, None],
        pixel_values_videos=normalised(torch.from_numpy(laid.patches)),
        video_grid_thw=torch.from_numpy(laid.grids),
        use_cache=False,
    ).logits[0, :-1]
    trained = torch.from_numpy(laid.trained[1:])
    return torch.nn.functional.cross_entropy(logits[trained], torch.from_numpy(laid.ids[1:])[trained])
