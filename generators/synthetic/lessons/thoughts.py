"""The thoughts of a faultless teacher in parts: what it sees, apart from what follows from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from dmforge.generators.synthetic.worlds.script import FPS, Visit
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import FramePlan, plan_coarse, plan_look
from dmforge.schemas.grammar import Trajectory, written_look
from dmforge.schemas.looks import Look
from dmforge.schemas.stamps import patch_times
from dmforge.schemas.tags import CLOSE, OPEN
from dmforge.schemas.transcript import Piece, Transcript

LOOK_FPS = Fraction(4)
"""The density that shows any flash and any flicker of a study world."""
NOTHING = "nothing"
"""What a patch without any object shows."""


@dataclass(frozen=True, slots=True)
class WorldThoughts:
    """The thoughts of a trajectory."""

    overview: str
    """What the overview shows."""
    where: str
    """Where to look, as follows from that; empty where it needs no words."""
    looks: tuple[Look, ...]
    seen: tuple[str, ...]
    """What each look shows."""
    conclusion: str
    """What follows from all of them; empty where it needs no words."""
    answer: str

    @property
    def trajectory(self) -> Trajectory:
        first_thought = self.overview + self.where
        if not self.looks:
            return Trajectory((first_thought,), (), self.answer)
        return Trajectory((first_thought, *self.seen[:-1], self.seen[-1] + self.conclusion), self.looks, self.answer)


def reading(question_text: str, thoughts: WorldThoughts) -> Transcript:
    """A trajectory without its pictures: what would be seen is given, and what follows from it is to be written.

    Where the answer takes a conclusion, that is all; else where to look follows from the overview. Windows are given: only
    pictures show their bounds.
    """
    prompt, think = Piece("prompt", question_text), OPEN["think"]
    conclusion, answer = thoughts.conclusion + CLOSE["think"], f"{OPEN['answer']}{thoughts.answer}{CLOSE['answer']}"
    if thoughts.conclusion:
        return Transcript((prompt, Piece("runtime", think + "".join(thoughts.seen)), Piece("policy", conclusion + answer)))
    looked = "".join(look + seen for look, seen in zip(map(written_look, thoughts.looks), thoughts.seen, strict=True))
    return Transcript(
        (
            prompt,
            Piece("runtime", think + thoughts.overview),
            Piece("policy", thoughts.where),
            Piece("runtime", looked + conclusion),
            Piece("policy", answer),
        )
    )


def overview_plan(duration_s: Fraction, clips: Clips) -> FramePlan:
    """The frames of a world's overview."""
    return plan_coarse(duration_s, clips.coarse_fps, clips.coarse_frames)


def plan_of(look: Look, duration_s: Fraction, clips: Clips) -> FramePlan:
    """The frames of a look at a world."""
    return plan_look(look, duration_s, max_frames=clips.look_frames)


def patches_of(plan: FramePlan) -> list[tuple[Fraction, tuple[Fraction, ...]]]:
    """The stamp of each patch, and the times of its frames."""
    stamps_s, times_s = patch_times(plan.times_s), plan.times_s
    return [(stamp_s, times_s[2 * index : 2 * index + 2]) for index, stamp_s in enumerate(stamps_s)]


def stamp_of_first(plan: FramePlan, frames: Sequence[int]) -> Fraction | None:
    """The stamp of the first patch that shows one of some frames of the grid; None where no patch does."""
    return next((patch_times(plan.times_s)[index // 2] for index, frame in enumerate(plan.indices) if frame in frames), None)


def is_there(visit: Visit, time_s: Fraction) -> bool:
    """Whether an object is on screen at a time of a frame."""
    return 0 <= int(time_s * FPS) - visit.first < visit.frames


def written_time(time_s: Fraction) -> str:
    """A time as stamps have it."""
    return f"{float(time_s):.1f}"
