"""Students for tests, and footage whose every frame bears its number."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch

from dmforge.generators.footage import Pixels, PromptPiece, ShownClip, show
from dmforge.generators.student.load_student import Student
from dmforge.generators.student.patchify import frames_of, normalised
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.student.token_layout import LaidOutTranscript
from dmforge.generators.synthetic.worlds.rasterize import read_timecode
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE, Piece, Transcript
from tests.support.barcodes import picture

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

    def coarse(self) -> ShownClip:
        plan = plan_coarse(self.duration_s, self.coarse_fps)
        return ShownClip(self._frames(plan.times_s, self.coarse_size), plan.times_s)

    def look(self, look: Look) -> ShownClip:
        self.cut.append(look)
        plan = plan_look(look, self.duration_s, max_frames=24)
        return ShownClip(self._frames(plan.times_s, self.look_size), plan.times_s)

    @staticmethod
    def _frames(times_s: tuple[Fraction, ...], size: tuple[int, int]) -> Pixels:
        return np.stack([picture(int(time_s * 12), *size) for time_s in times_s])


def look(start_cs: int, end_cs: int, fps: int = 2) -> Look:
    return Look(Window(start_cs, end_cs), Fraction(fps))


def transcript(*looks: Look, thought: str = "It flashes.") -> Transcript:
    """A trajectory with these looks."""
    pieces = [COARSE, QUESTION]
    opening = "<think>"
    for requested in looks:
        span = f"{requested.window.start_cs / 100:.2f} - {requested.window.end_cs / 100:.2f}"
        pieces += [
            Piece("policy", f"{opening}{thought}<span>{span}</span><fps>{requested.fps}</fps>"),
            Piece("runtime", look=requested),
        ]
        opening = ""
    return Transcript((*pieces, Piece("policy", f"{opening}Blue.</think><answer>blue</answer>")))


def shown(transcript: Transcript, footage: Barcodes | None = None) -> tuple[PromptPiece, ...]:
    return show(transcript.pieces, footage or Barcodes())


def speck(seed: int = 0) -> Student:
    return make_tiny("speck", TEXTS, seed)


def logits_of_all(student: Student, sequence: LaidOutTranscript) -> torch.Tensor:
    """The logits of the next tokens of a whole transcript, by one forward."""
    model = student.model
    with torch.no_grad():
        return model(
            input_ids=torch.from_numpy(sequence.ids)[None],
            position_ids=torch.from_numpy(sequence.positions)[:, None],
            pixel_values_videos=normalised(torch.from_numpy(sequence.patches)),
            video_grid_thw=torch.from_numpy(sequence.grids),
            use_cache=False,
        ).logits[0]


def frame_numbers(pixels: torch.Tensor, grids: torch.Tensor) -> list[list[int | None]]:
    """The numbers of the frames that a vision tower is given, by clip."""
    patches = (pixels.double() * 127.5 + 127.5).round().to(torch.uint8).numpy()
    by_clip: list[list[int | None]] = []
    offset = 0
    for time, down, across in grids.tolist():
        clip_patches = patches[offset : offset + time * down * across]
        by_clip.append([read_timecode(frame) for frame in frames_of(clip_patches, (time, down, across))])
        offset += time * down * across
    return by_clip
