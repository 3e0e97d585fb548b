"""Students for tests, and footage that says of each frame which it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch

from benchmarks.barcodes import picture
from dmforge.generators.footage import Clip, Pixels, Shown, show
from dmforge.generators.student.layout import Laid
from dmforge.generators.student.load import Student
from dmforge.generators.student.patchify import frames_of, normalised
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.worlds.draw import read_timecode
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE, Piece, Transcript

TEXTS = ["Which colour flashes while the red circle is shown?", "It flashes blue.", "red", "blue", "12.00 - 20.00"]
QUESTION = Piece("prompt", "Which colour flashes?")


@dataclass(frozen=True)
class Barcodes:
    """A video at 12 frames a second whose every frame bears its number."""

    duration_s: Fraction = Fraction(10)
    coarse_size: tuple[int, int] = (64, 32)
    look_size: tuple[int, int] = (96, 64)
    coarse_fps: Fraction = Fraction(1)
    cut: list[Look] = field(default_factory=list[Look])
    """The looks that were asked for."""

    def coarse(self) -> Clip:
        plan = plan_coarse(self.duration_s, self.coarse_fps)
        return Clip(self._frames(plan.times_s, self.coarse_size), plan.times_s)

    def look(self, look: Look) -> Clip:
        self.cut.append(look)
        plan = plan_look(look, self.duration_s, max_frames=24)
        return Clip(self._frames(plan.times_s, self.look_size), plan.times_s)

    @staticmethod
    def _frames(times_s: tuple[Fraction, ...], size: tuple[int, int]) -> Pixels:
        return np.stack([picture(int(time_s * 12), *size) for time_s in times_s])


def look(start_cs: int, end_cs: int, fps: int = 2) -> Look:
    return Look(Window(start_cs, end_cs), Fraction(fps))


def transcript(*looks: Look, thought: str = "It flashes.") -> Transcript:
    """A trajectory with these looks."""
    pieces = [COARSE, QUESTION]
    opening = "<think>"
    for asked in looks:
        span = f"{asked.window.start_cs / 100:.2f} - {asked.window.end_cs / 100:.2f}"
        pieces += [
            Piece("policy", f"{opening}{thought}<span>{span}</span><fps>{asked.fps}</fps>"),
            Piece("runtime", look=asked),
        ]
        opening = ""
    return Transcript((*pieces, Piece("policy", f"{opening}Blue.</think><answer>blue</answer>")))


def shown(told: Transcript, footage: Barcodes | None = None) -> tuple[Shown, ...]:
    return show(told.pieces, footage or Barcodes())


def speck(seed: int = 0) -> Student:
    return make_tiny("speck", TEXTS, seed)


def logits_of_all(student: Student, laid: Laid) -> torch.Tensor:
    """A whole transcript through the model at once: what would follow each token."""
    model = student.model
    with torch.no_grad():
        return model(
            input_ids=torch.from_numpy(laid.ids)[None],
            position_ids=torch.from_numpy(laid.positions)[:, None],
            pixel_values_videos=normalised(torch.from_numpy(laid.patches)),
            video_grid_thw=torch.from_numpy(laid.grids),
            use_cache=False,
        ).logits[0]


def frame_numbers(pixels: torch.Tensor, grids: torch.Tensor) -> list[list[int | None]]:
    """Which frames stand in what a vision tower is given, clip by clip."""
    patches = (pixels.double() * 127.5 + 127.5).round().to(torch.uint8).numpy()
    found: list[list[int | None]] = []
    at = 0
    for time, down, across in grids.tolist():
        own = patches[at : at + time * down * across]
        found.append([read_timecode(frame) for frame in frames_of(own, (time, down, across))])
        at += time * down * across
    return found
