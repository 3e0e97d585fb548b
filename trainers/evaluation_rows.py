"""The scored rollout of one sample: a line of rows.jsonl, from which all figures are computed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from dmforge.curation.shards.document import ShardSample
from dmforge.generators.inference.rollout import Ending, RolloutResult
from dmforge.schemas.looks import Look, Window, print_box, print_density
from dmforge.schemas.records import Task, TaskKind
from dmforge.schemas.scoring import answer_score, density_error, measure_cs, overlap_cs, window_score


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
    """Where the policy should look: the window of the sample's target, else of the look in its trajectory, else gold."""
    needs: Literal["any", "all"]
    """Whether any one of the target windows will do, or all are needed."""
    gold_cs: tuple[tuple[int, int], ...]
    """Where the answer shows, if the task says so."""
    fps: str | None
    target_fps: str | None
    iou: float | None
    """IoU of window and target; 0 without a look."""
    gold_iou: float | None
    """IoU of window and gold, which may be lower than `iou` where a teacher looks at more than gold."""
    iop: float | None
    """Intersection over prediction: the share of the look that lies in the target."""
    density_error: float | None
    """Error of the density in frames per second; None without a look."""
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

    def line(self) -> dict[str, Any]:
        """The row as a line of rows.jsonl."""
        later_fields = ("box", "tokens", "target_box", "target_tokens")
        return {name: value for name, value in asdict(self).items() if name not in later_fields or value is not None}

    @property
    def well_formed(self) -> bool:
        return self.ending == "answered"


def row_of(sample: ShardSample, video: str, result: RolloutResult, uniform_result: RolloutResult) -> EvaluationRow:
    """The row of a sample and its two rollouts: the free one, and the one with a look at the whole video."""
    task = task_of(sample)
    target_look = target_of(sample)
    target_windows, any_or_all = ((target_look.window,), "all") if target_look else (sample.windows, sample.needs)
    first_look = result.looks[0] if result.looks else None
    looked_windows = (first_look.window,) if first_look else ()
    return EvaluationRow(
        sample=sample.id,
        video=video,
        kind=sample.kind,
        ending=result.ending,
        window_cs=_bounds_cs(first_look.window) if first_look else None,
        target_cs=tuple(map(_bounds_cs, target_windows)),
        needs=any_or_all,
        gold_cs=tuple(map(_bounds_cs, sample.windows)),
        fps=print_density(first_look.fps) if first_look else None,
        target_fps=print_density(target_look.fps) if target_look else None,
        iou=float(window_score(looked_windows, target_windows, any_or_all)) if target_windows else None,
        gold_iou=float(window_score(looked_windows, sample.windows, sample.needs)) if sample.windows else None,
        iop=_iop(looked_windows, target_windows) if target_windows else None,
        density_error=float(density_error(first_look.fps, target_look.fps)) if first_look and target_look else None,
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
        target_box=print_box(target_look.box) if target_look and target_look.box else None,
        target_tokens=target_look.tokens if target_look else None,
    )


def target_of(sample: ShardSample) -> Look | None:
    """The look that is right for a sample: of a task for reinforcement its target, of a trajectory the one that it teaches."""
    return sample.target or next((piece.look for piece in sample.transcript.pieces if piece.look), None)


def task_of(sample: ShardSample) -> Task:
    """The task of a sample for scoring, which doesn't need its video."""
    return Task(b"", sample.kind, sample.question, sample.options, sample.gold, sample.windows, sample.needs)


def _iop(looked_windows: tuple[Window, ...], target_windows: tuple[Window, ...]) -> float:
    return overlap_cs(looked_windows, target_windows) / measure_cs(looked_windows) if looked_windows else 0.0


def _bounds_cs(window: Window) -> tuple[int, int]:
    return window.start_cs, window.end_cs
