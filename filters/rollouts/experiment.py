"""An input that is tried on a student: the arms in which it is put, and the rollouts of each so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dmforge.schemas.looks import Look
from dmforge.schemas.records import CandidateWithTask, Mode, Rollout, Task, Video
from dmforge.schemas.records import TaskWithVideo as ShownTask
from dmforge.schemas.tags import CLOSE, OPEN

STRAIGHT_TO_THE_ANSWER = f"{OPEN['think']}{CLOSE['think']}{OPEN['answer']}"
"""What is written in place of the look for a student that is not to look."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to put a task to the student."""

    name: str
    look: Look | None = None
    """The look that is forced on the student."""
    own_density: bool = False
    """Whether only the window is forced: its density is that of the student's free rollout, if it came to a look there."""
    opening: str = ""
    """Text that is written for the student instead of a look."""

    @property
    def mode(self) -> Mode:
        return "forced" if self.look or self.opening else "free"


FREE = Arm("free")
THOUGHT = "thought"
"""The arm under which free rollouts are stored that were made only for their thoughts."""
NONE = Arm("none", opening=STRAIGHT_TO_THE_ANSWER)


@dataclass
class Experiment:
    """An input that is being tried, with its rollouts so far."""

    subject: ShownTask | CandidateWithTask
    task: Task
    video: Video
    arms: Mapping[str, Arm]
    note: str = ""
    """What its stage notes about how the arms were chosen."""
    rollouts: dict[str, list[Rollout]] = field(default_factory=dict[str, list[Rollout]])
    """By arm, in the order of their indices."""
    active_arms: Collection[str] = ()
    """Arms that get more rollouts."""
    rounds_done: int = 0
    """Rounds that are done."""
    free_rollouts: list[Rollout] = field(default_factory=list[Rollout])
    """Free rollouts, in the order of their indices: their thoughts stand before forced looks."""
