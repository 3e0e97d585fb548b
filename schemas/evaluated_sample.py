"""The record of an evaluation: what a checkpoint did with one sample."""

from __future__ import annotations

from dataclasses import dataclass, field

from dmforge.schemas.ids import Id
from dmforge.schemas.looks import Look
from dmforge.schemas.record_fields import grown, later
from dmforge.schemas.records import Record
from dmforge.schemas.units import Count, FpsError, Share


@dataclass(frozen=True, slots=True)
class HeldSample:
    """What the same checkpoint did where it was held to so many looks."""

    held_to: Count
    """The most looks that it might take."""
    ending: str
    """How it ended."""
    looks: tuple[Look, ...]
    """Those that were shown."""
    iou_set: Share | None
    """The window score of all its looks together; none where no window is known."""
    answer: str
    """What it answered."""
    score: Share
    """How right its answer is."""
    visual_tokens: int
    """That all clips cost, the coarse one included."""


@dataclass(frozen=True, slots=True)
class EvaluatedSample(Record):
    """What a checkpoint did with a sample that it was not trained on, greedily. None where a figure has no meaning."""

    kind = "evaluated"
    table = "evaluations"

    video: Id
    """The video of the sample."""
    sample: Id
    """The sample, as its shard names it."""
    task: Id
    """The task of the sample."""
    student: Id
    """As of rollouts: the digest of its bytes; of a checkpoint on the Hub, of its name."""
    checkpoint: str
    """What it is called."""
    ending: str
    """How the trajectory ended: `answered`, or which defect ended it."""
    look: Look | None = field(metadata=grown(2))
    """The first one whose clip was shown."""
    target: Look | None = field(metadata=grown(2))
    """Where it should have looked, where that is known; of a set the first look."""
    iou: Share | None
    """How well its looks meet the windows of the target, or of the task where there is none; none where neither is known."""
    density_error: FpsError | None
    """How far the densities of its looks are from the target's, as the mean; none without both."""
    answer: str
    """What it answered."""
    score: Share
    """How right its answer is."""
    uniform_frames: Share
    """The same where its look is laid over the whole video."""
    visual_tokens: int
    """That all clips cost, the coarse one included."""
    further_looks: tuple[Look, ...] = later((), since=3)
    """The looks after the first one."""
    further_targets: tuple[Look, ...] = later((), since=3)
    """The other looks of a target that is a set."""
    needed_looks: Count | None = later(None, since=4)
    """How many looks its task needs. This and what follows is measured where a checkpoint may look several times, or is held to
    fewer looks."""
    iou_set: Share | None = later(None, since=4)
    """The window score of all its looks together."""
    held_rollouts: tuple[HeldSample, ...] = later((), since=4)
    """What it did held to fewer looks."""
