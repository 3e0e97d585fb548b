"""The scored rollout of one sample: a line of rows.jsonl, from which all figures are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from typing import Any

from dmforge.curation.shards.document import ShardSample
from dmforge.generators.inference.rollout import Ending, RolloutResult
from dmforge.schemas.looks import Look, Window, print_box, print_density
from dmforge.schemas.records import Needs, Task, TaskKind
from dmforge.schemas.scoring import (
    answer_score,
    density_error,
    match_looks,
    measure_cs,
    overlap_cs,
    set_score,
    window_score,
)
from dmforge.schemas.targets import needed_looks


@dataclass(frozen=True, slots=True)
class RowLook:
    """A look behind the first one, of a policy or of a target."""

    window_cs: tuple[int, int]
    fps: str
    box: str | None
    tokens: int | None


@dataclass(frozen=True, slots=True)
class HeldRow:
    """What the same policy did where it was held to so many looks."""

    held_to: int
    ending: Ending
    looks: tuple[RowLook, ...]
    iou_set: float | None
    answer: str
    answer_score: float
    visual_tokens: int


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One sample's scored rollout; None where a measure has no meaning for it."""

    sample: str
    video: str
    kind: TaskKind
    ending: Ending
    window_cs: tuple[int, int] | None
    """The window of the first look whose clip was shown."""
    target_cs: tuple[tuple[int, int], ...]
    """Where the policy should look: the windows of the sample's target, else of the looks in its trajectory, else gold."""
    needs: Needs
    """Whether any one of the target windows will do, or all are needed."""
    gold_cs: tuple[tuple[int, int], ...]
    """Where the answer shows, if the task says so."""
    fps: str | None
    target_fps: str | None
    iou: float | None
    """IoU of the windows of all looks with the target's, one to one; 0 without a look."""
    gold_iou: float | None
    """IoU of what was looked at and gold, which may be lower than `iou` where a teacher looks at more than gold."""
    iop: float | None
    """Intersection over prediction: the share of what was looked at that lies in the target."""
    density_error: float | None
    """Error of the density in frames per second, the mean of looks that stand for one of the target; None without a look."""
    answer: str
    gold: str
    answer_score: float
    """1 or 0; for grounding the overlap with gold of the span that is the answer."""
    uniform_frames: float
    """The answer score of the same policy when its look covers the whole video."""
    longest_option: float | None
    """The answer score of the longest option."""
    visual_tokens: int
    text: str
    task: str
    box: str | None = None
    """The box of the look; not in the line where it has none, as before there were boxes. So below."""
    tokens: int | None = None
    target_box: str | None = None
    target_tokens: int | None = None
    further_looks: tuple[RowLook, ...] | None = None
    further_targets: tuple[RowLook, ...] | None = None
    made_looks: int | None = None
    """How many looks were made, those whose clips were shown. This and what follows is measured where a policy may look several
    times or is held to fewer looks, and is None otherwise."""
    needed_looks: int | None = None
    """How many looks its task needs; None where nothing says so, too."""
    iou_set: float | None = None
    """The window score of all looks together, however many each place took; None where no look is needed, too."""
    uniform_iou_set: float | None = None
    """The same of a look at the whole video."""
    held_rollouts: tuple[HeldRow, ...] | None = None
    """The same policy held to fewer looks."""

    def line(self) -> dict[str, Any]:
        """The row as a line of rows.jsonl."""
        later_fields = {field.name for field in fields(self) if field.default is None}
        return {name: value for name, value in asdict(self).items() if name not in later_fields or value is not None}

    @property
    def well_formed(self) -> bool:
        return self.ending == "answered" or (self.ending == "no_look" and self.needed_looks == 0)

    def target_iou(self, windows: tuple[Window, ...]) -> float | None:
        """The IoU with the target of windows in place of those that were looked at."""
        target_windows = tuple(Window(*bounds_cs) for bounds_cs in self.target_cs)
        return _target_iou(windows, target_windows, None if self.target_fps else self.needs)

    def target_iou_set(self, windows: tuple[Window, ...]) -> float | None:
        """The window score of the union of some windows; None where no window is right, or no look is needed."""
        if not self.target_cs or self.needed_looks == 0:
            return None
        return float(window_score(windows, tuple(Window(*bounds_cs) for bounds_cs in self.target_cs), self.needs))


def row_of(sample: ShardSample, video: str, result: RolloutResult, uniform_result: RolloutResult) -> EvaluationRow:
    """The row of a sample and its two rollouts: the free one, and the one with a look at the whole video."""
    task = task_of(sample)
    target_looks = target_looks_of(sample)
    target_windows = tuple(look.window for look in target_looks) or sample.windows
    first_look, first_target = (looks[0] if looks else None for looks in (result.looks, target_looks))
    looked_windows = tuple(look.window for look in result.looks)
    return EvaluationRow(
        sample=sample.id,
        video=video,
        kind=sample.kind,
        ending=result.ending,
        window_cs=_bounds_cs(first_look.window) if first_look else None,
        target_cs=tuple(map(_bounds_cs, target_windows)),
        needs="all" if target_looks else sample.needs,
        gold_cs=tuple(map(_bounds_cs, sample.windows)),
        fps=print_density(first_look.fps) if first_look else None,
        target_fps=print_density(first_target.fps) if first_target else None,
        iou=_target_iou(looked_windows, target_windows, None if target_looks else sample.needs),
        gold_iou=float(window_score(looked_windows, sample.windows, sample.needs)) if sample.windows else None,
        iop=_iop(looked_windows, target_windows) if target_windows else None,
        density_error=mean_density_error(result.looks, target_looks),
        answer=result.answer,
        gold=sample.gold,
        answer_score=answer_score(result.answer, task),
        uniform_frames=answer_score(uniform_result.answer, task),
        longest_option=answer_score(max(sample.options, key=len), task) if sample.options else None,
        visual_tokens=result.visual_tokens,
        text=result.transcript.trajectory_text,
        task=sample.task,
        box=print_box(first_look.box) if first_look and first_look.box else None,
        tokens=first_look.tokens if first_look else None,
        target_box=print_box(first_target.box) if first_target and first_target.box else None,
        target_tokens=first_target.tokens if first_target else None,
        further_looks=_further(result.looks),
        further_targets=_further(target_looks),
    )


def with_several_looks(
    row: EvaluationRow, sample: ShardSample, duration_cs: int, result: RolloutResult, held_results: Mapping[int, RolloutResult]
) -> EvaluationRow:
    """A row with what is measured of several looks. `held_results` are by how many looks the policy was held to."""
    row = replace(row, made_looks=len(result.looks), needed_looks=needed_looks(task_of(sample), target_looks_of(sample)))
    return replace(
        row,
        iou_set=_iou_set(row, result),
        uniform_iou_set=row.target_iou_set((Window(0, duration_cs),)),
        held_rollouts=tuple(_held_row(row, sample, *limit_and_result) for limit_and_result in held_results.items()) or None,
    )


def _held_row(row: EvaluationRow, sample: ShardSample, held_to: int, result: RolloutResult) -> HeldRow:
    return HeldRow(
        held_to,
        result.ending,
        tuple(map(_row_look, result.looks)),
        _iou_set(row, result),
        result.answer,
        answer_score(result.answer, task_of(sample)),
        result.visual_tokens,
    )


def _iou_set(row: EvaluationRow, result: RolloutResult) -> float | None:
    return row.target_iou_set(tuple(look.window for look in result.looks))


def target_looks_of(sample: ShardSample) -> tuple[Look, ...]:
    """The looks that are right for a sample: of a task for reinforcement its target, of a trajectory those that it teaches."""
    return sample.target_looks or tuple(piece.look for piece in sample.transcript.pieces if piece.look)


def task_of(sample: ShardSample) -> Task:
    """The task of a sample for scoring, which doesn't need its video."""
    return Task(
        b"", sample.kind, sample.question, sample.options, sample.gold, sample.windows, sample.needs, extras=sample.extras
    )


def _iop(looked_windows: tuple[Window, ...], target_windows: tuple[Window, ...]) -> float:
    return overlap_cs(looked_windows, target_windows) / measure_cs(looked_windows) if looked_windows else 0.0


def _target_iou(looked_windows: tuple[Window, ...], target_windows: tuple[Window, ...], needs: Needs | None) -> float | None:
    """The IoU with windows of a target's looks, one to one; with gold's by what a task `needs` of them, where that is said."""
    if not target_windows:
        return None
    return float(window_score(looked_windows, target_windows, needs) if needs else set_score(looked_windows, target_windows))


def mean_density_error(looks: Sequence[Look], target_looks: Sequence[Look]) -> float | None:
    """The mean error of the densities of looks that stand for one of a target; None where none does."""
    look_pairs = match_looks(looks, target_looks, lambda fps, target_fps: -density_error(fps, target_fps))
    total_error = sum((density_error(look.fps, target_look.fps) for look, target_look in look_pairs), Fraction(0))
    return float(total_error / len(look_pairs)) if look_pairs else None


def _further(looks: Sequence[Look]) -> tuple[RowLook, ...] | None:
    return tuple(map(_row_look, looks[1:])) or None


def _row_look(look: Look) -> RowLook:
    return RowLook(_bounds_cs(look.window), print_density(look.fps), print_box(look.box) if look.box else None, look.tokens)


def _bounds_cs(window: Window) -> tuple[int, int]:
    return window.start_cs, window.end_cs
