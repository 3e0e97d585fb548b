"""An input that is tried on a student: the arms in which it is put, and the rollouts of each so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dmforge.generators.inference.forced_steps import STRAIGHT_TO_THE_ANSWER, Step
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import CandidateWithTask, Mode, Rollout, Task, Video
from dmforge.schemas.records import TaskWithVideo as ShownTask


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to put a task to the student."""

    name: str
    look: Look | None = None
    """The look that is forced on the student."""
    own_density: bool = False
    """Whether only the window is forced: its density is that of the student's free rollout, if it came to a look there."""
    steps: tuple[Step, ...] = ()
    """Looks, or windows alone, that are forced on the student one after the other; between them it thinks for itself."""
    opening: str = ""
    """Text that is written for the student instead of a look."""

    @property
    def mode(self) -> Mode:
        return "forced" if self.look or self.opening or self.steps else "free"

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows that are forced on the student."""
        steps = (self.look,) if self.look else self.steps
        return tuple(step.window if isinstance(step, Look) else step for step in steps)

    @property
    def looks(self) -> tuple[Look, ...]:
        """The looks that are forced on it whole."""
        return (self.look,) if self.look else tuple(step for step in self.steps if isinstance(step, Look))


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
    arms: Mapping[str, Arm] = field(default_factory=dict[str, Arm])
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

    def add_arms(self, arms: Sequence[Arm]) -> None:
        """Put the input to the student in further ways, from the first round on."""
        self.arms = {**self.arms, **{arm.name: arm for arm in arms}}
        self.rollouts |= {arm.name: [] for arm in arms}
        self.active_arms, self.rounds_done = [arm.name for arm in arms], 0
