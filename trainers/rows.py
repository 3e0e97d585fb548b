"""What came of one sample, scored by the one scoring there is: the line of rows.jsonl that every figure is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dmforge.curation.shards.document import ShardSample
from dmforge.generators.rollout import Ending, Rolled
from dmforge.schemas.looks import Look, Window, print_density
from dmforge.schemas.records import Task, TaskKind
from dmforge.schemas.scoring import answer_score, density_error, measure_cs, overlap_cs, window_score


@dataclass(frozen=True, slots=True)
class Row:
    """One rollout. None stands where a figure has no meaning for this sample."""

    sample: str
    video: str
    kind: TaskKind
    ending: Ending
    window_cs: tuple[int, int] | None
    """Of the first look whose clip was shown."""
    target_cs: tuple[tuple[int, int], ...]
    """Where it should have looked: the window of the sample's target, else of the look in its trajectory, else gold."""
    needs: Literal["any", "all"]
    """Whether one of these windows will do."""
    gold_cs: tuple[tuple[int, int], ...]
    """Where the answer shows, as far as the task says so."""
    fps: str | None
    target_fps: str | None
    iou: float | None
    """Of window and target; 0 without a look."""
    gold_iou: float | None
    """Of window and gold: lower than `iou` can be where a teacher looks around what it grounds."""
    iop: float | None
    """Intersection over the window that was looked at: how much of what it cost was to the point."""
    density_error: float | None
    """In frames per second; None without a look."""
    answer: str
    gold: str
    answer_score: float
    """Right or not; for grounding the overlap of the span that it answers with gold."""
    uniform_frames: float
    """The same of the same policy when its look is laid over the whole video."""
    longest_option: float | None
    """The same of who always takes the longest option."""
    visual_tokens: int
    text: str
    task: str

    @property
    def well_formed(self) -> bool:
        return self.ending == "answered"


def row_of(sample: ShardSample, video: str, rolled: Rolled, uniform: Rolled) -> Row:
    """A sample with the two trajectories that were rolled out for it."""
    task = task_of(sample)
    target = target_of(sample)
    targets, needs = ((target.window,), "all") if target else (sample.windows, sample.needs)
    look = rolled.looks[0] if rolled.looks else None
    found = (look.window,) if look else ()
    return Row(
        sample=sample.id,
        video=video,
        kind=sample.kind,
        ending=rolled.ending,
        window_cs=_cs(look.window) if look else None,
        target_cs=tuple(map(_cs, targets)),
        needs=needs,
        gold_cs=tuple(map(_cs, sample.windows)),
        fps=print_density(look.fps) if look else None,
        target_fps=print_density(target.fps) if target else None,
        iou=float(window_score(found, targets, needs)) if targets else None,
        gold_iou=float(window_score(found, sample.windows, sample.needs)) if sample.windows else None,
        iop=_iop(found, targets) if targets else None,
        density_error=float(density_error(look.fps, target.fps)) if look and target else None,
        answer=rolled.answer,
        gold=sample.gold,
        answer_score=answer_score(rolled.answer, task),
        uniform_frames=answer_score(uniform.answer, task),
        longest_option=answer_score(max(sample.options, key=len), task) if sample.options else None,
        visual_tokens=rolled.visual_tokens,
        text=rolled.transcript.trajectory_text,
        task=sample.task,
    )


def target_of(sample: ShardSample) -> Look | None:
    """The look that is right for a sample: of a task for reinforcement its target, of a trajectory the one that it teaches."""
    return sample.target or next((piece.look for piece in sample.transcript.pieces if piece.look), None)


def task_of(sample: ShardSample) -> Task:
    """The task of a sample, as scoring takes it; the video that it is about doesn't matter there."""
    return Task(b"", sample.kind, sample.question, sample.options, sample.gold, sample.windows, sample.needs)


def _iop(found: tuple[Window, ...], targets: tuple[Window, ...]) -> float:
    return overlap_cs(found, targets) / measure_cs(found) if found else 0.0


def _cs(window: Window) -> tuple[int, int]:
    return window.start_cs, window.end_cs
