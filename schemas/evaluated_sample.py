"""The record of an evaluation: what a checkpoint did with one sample."""

from __future__ import annotations

from dataclasses import dataclass, field

from dmforge.schemas.ids import Id
from dmforge.schemas.looks import Look
from dmforge.schemas.record_fields import grown, later
from dmforge.schemas.records import Record


@dataclass(frozen=True, slots=True)
class HeldSample:
    """What the same checkpoint did where it was held to so many looks."""

    held_to: int
    ending: str
    looks: tuple[Look, ...]
    iou_set: float | None
    answer: str
    score: float
    visual_tokens: int


@dataclass(frozen=True, slots=True)
class EvaluatedSample(Record):
    """What a checkpoint did with a sample that it was not trained on, greedily. None where a figure has no meaning."""

    kind = "evaluated"
    table = "evaluations"

    video: Id
    sample: Id
    task: Id
    student: Id
    """As of rollouts: the digest of its bytes; of a checkpoint on the Hub, of its name."""
    checkpoint: str
    """What it is called."""
    ending: str
    look: Look | None = field(metadata=grown(2))
    """The first one whose clip was shown."""
    target: Look | None = field(metadata=grown(2))
    """Where it should have looked, where that is known; of a set the first look."""
    iou: float | None
    density_error: float | None
    answer: str
    score: float
    """How right its answer is."""
    uniform_frames: float
    """The same where its look is laid over the whole video."""
    visual_tokens: int
    further_looks: tuple[Look, ...] = later((), since=3)
    """The looks after the first one."""
    further_targets: tuple[Look, ...] = later((), since=3)
    """The other looks of a target that is a set."""
    needed_looks: int | None = later(None, since=4)
    """How many looks its task needs. This and what follows is measured where a checkpoint may look several times, or is held to
    fewer looks."""
    iou_set: float | None = later(None, since=4)
    """The window score of all its looks together."""
    held_rollouts: tuple[HeldSample, ...] = later((), since=4)
    """What it did held to fewer looks."""
