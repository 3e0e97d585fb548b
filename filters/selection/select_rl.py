"""Tasks become samples for reinforcement: those that a student neither always nor never solves, with the right look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field, PositiveInt, model_validator

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import StageConfig
from dmforge.curation.contract.stage_results import Made, Origin, Rejected, Result, StageResults
from dmforge.curation.lake.partition import Bounds
from dmforge.curation.sources.importing import imported_target
from dmforge.filters.selection.selection import RANGE_SUBJECTS, UNDETERMINED, Dimension, Said, Score, Selection, SelectionRules
from dmforge.schemas.columns import column
from dmforge.schemas.config import Formerly, Later
from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Candidate, Provenance, Sample, Target, TargetSource, Task, Verdict, Video
from dmforge.schemas.scoring import answer_score, iou
from dmforge.schemas.targets import as_target, right_window, windows_of_set

RIGHT_SCORE = 0.5
"""The least score of a teacher's right answer: an IoU with gold for grounding; other answers score 0 or 1."""
NO_TARGET = "no target"
_DECISIONS = """
WITH misses AS (
    SELECT o.id, o.video, unnest([o.task, o.video]) AS subject, n.filter, n.least, n.most
    FROM verdict_of o JOIN named n ON n.bit = o.failed & -o.failed
), worst AS (
    SELECT m.id, any_value(v.score ORDER BY v.score, v.id) AS score, any_value(m.least) AS least, any_value(m.most) AS most
    FROM misses m JOIN verdicts v ON v.subject = m.subject AND v.filter = m.filter AND v.video = m.video
    WHERE v.video >= $low AND v.video < $high AND (v.score < m.least OR v.score > m.most)
    GROUP BY m.id
)
SELECT o.id, o.video, o.reason, o.detail, w.score, w.least AS min_score, w.most AS max_score
FROM verdict_of o LEFT JOIN worst w ON w.id = o.id
ORDER BY o.video, o.id
"""
_ID = pa.binary(ID_BYTES)
_SUBJECTS = pa.schema(
    [
        *(("id", _ID), ("video", _ID), ("task", _ID), ("attempt", pa.int64())),
        *(("looks", column(tuple[Look, ...]).type), ("lacks", pa.string())),
    ]
)
Aim = tuple[tuple[Look, ...], TargetSource]
"""The looks of a target, one or more, and who says so."""


class SelectRlConfig(StageConfig):
    """What a task needs to be kept, and how many are in all."""

    corpus: str = Field("rl", pattern="^[a-z][a-z0-9_-]*$")
    """The name of the corpus."""
    min_score: Annotated[dict[str, Score], Formerly("least")] = Field(default_factory=dict)
    """Filter -> the least score of a task or its video. The first one that it misses, in alphabetical order, is its reason; a
    score that hasn't been measured leaves it undetermined."""
    max_score: Annotated[dict[str, Score], Formerly("most")] = Field(default_factory=dict)
    """Filter -> the greatest score: `replay = 0.95` leaves out what a student always solves."""
    only: dict[Said, list[str]] = Field(default_factory=dict[Said, list[str]])
    """What is kept by its origin: `licence = ["CC0-1.0"]`. Of the annotation, or of the video with `video_`."""
    caps: dict[Dimension, PositiveInt] = Field(default_factory=dict[Dimension, int])
    """The most that are kept of each `video`, `kind`, `source`, `duration` or `density`."""
    balance: dict[Dimension, Annotated[float, Field(ge=1)]] = Field(default_factory=dict[Dimension, float])
    """The most that are kept of each, as a multiple of what there is of the rarest. Applied after caps."""

    teachers_look: bool = False
    """Whether a task whose target neither a student's rollouts nor its file give takes gold's window at the density of the
    first teacher that answered right."""
    max_looks: Later[PositiveInt] = 1
    """How often a policy may look, by the recipe's `[looks]`: a task that needs several windows, and no more than these, has a
    look at each as its target; any other has one look."""

    @model_validator(mode="after")
    def _leaves_room(self) -> SelectRlConfig:
        for filter_name in sorted(self.min_score.keys() & self.max_score.keys()):
            if self.min_score[filter_name] > self.max_score[filter_name]:
                bounds_text = f"at least {self.min_score[filter_name]:g} and at most {self.max_score[filter_name]:g}"
                raise ValueError(f"no score of {filter_name!r} is {bounds_text}")
        return self

    def requirements(self) -> SelectionRules:
        return SelectionRules(self.min_score, self.only, (), self.caps, self.balance, max_scores=self.max_score)


class SelectRl(Collective[Task, Sample]):
    """Tasks to samples. The target is the one that a student's rollouts gave; else the one in the task's file."""

    name, version = "select_rl", 2
    config: SelectRlConfig
    also_reads = (Verdict, Provenance, Video, Target, Candidate)
    if_there = also_reads

    def asked_scores(self) -> frozenset[str]:
        return self.config.requirements().filters

    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        connection, target_rows = view.connection.cursor(), TargetRows(view, self.config)
        video_ranges = view.ranges(Task, RANGE_SUBJECTS)
        selection = Selection(connection, self.config.requirements(), video_ranges, tasks_in_range=target_rows.tasks_in)

        def result(**row: Any) -> Result:
            return self._result(target_rows.by_task, **row)  # of the range that is at hand

        yield from selection.settled(_DECISIONS, origin, result, self.makes)

    def _result(
        self,
        aims: Mapping[Id, Aim],
        id: bytes,
        video: bytes,
        reason: str | None,
        detail: str,
        score: float | None,
        min_score: float | None,
        max_score: float | None,
    ) -> Result:
        if reason is None:
            (first_look, *further_looks), look_source = aims[id]
            sample = Sample(video, self.config.corpus, id, None, first_look, look_source, further_targets=tuple(further_looks))
            return Made((sample,))
        if reason.startswith("above threshold") and score is not None:
            return Rejected(reason, f"{score:.3f} > {max_score:g}")
        if reason.startswith("below threshold") and score is not None:
            return Rejected(reason, f"{score:.3f} < {min_score:g}")
        return Rejected(reason, detail)


class TargetRows:
    """The looks that are right for each task, and who says so, for a range of videos at a time."""

    def __init__(self, view: View, config: SelectRlConfig) -> None:
        self._view, self._config = view, config
        self.by_task: Mapping[Id, Aim] = {}
        """The aims of the last range that was read."""
        has_pending_targets = any(Target in stage.makes and view.tally(stage).pending for stage in view.stages)
        self._without_aim = f"{UNDETERMINED}target" if has_pending_targets else NO_TARGET

    def tasks_in(self, bounds: Bounds) -> pa.Table:
        """The tasks of a range, in the columns that a selection reads."""
        tasks = self._view.about(bounds, Task)
        self.by_task = self._aims(bounds, tasks)
        values_by_column = {
            "id": [task.id for task in tasks],
            "video": [task.video for task in tasks],
            "task": [task.id for task in tasks],
            "attempt": [0] * len(tasks),
            "looks": [_encoded_looks(self.by_task.get(task.id)) for task in tasks],
            "lacks": [None if task.id in self.by_task else self._without_aim for task in tasks],
        }
        return pa.table(values_by_column, _SUBJECTS)

    def _aims(self, bounds: Bounds, tasks: list[Task]) -> Mapping[Id, Aim]:
        measured_target_by_task = {
            measured_target.task: measured_target
            for measured_target in self._view.about(bounds, Target)
            if len(measured_target.looks) <= self._config.max_looks
        }
        imported_looks_by_task = {
            task.id: imported_looks for task in tasks if (imported_looks := imported_target(task, self._config.max_looks))
        }
        tasks_without_look = {
            task.id: task for task in tasks if task.id not in measured_target_by_task and task.id not in imported_looks_by_task
        }
        candidates = self._view.about(bounds, Candidate) if self._config.teachers_look else []
        teacher_looks_by_task: dict[Id, tuple[Look, ...]] = {}
        for candidate in sorted(candidates, key=lambda candidate: (candidate.attempt, candidate.id)):
            task = tasks_without_look.get(candidate.task)
            if (
                task is not None
                and candidate.looks
                and candidate.task not in teacher_looks_by_task
                and answer_score(candidate.answer, task) >= RIGHT_SCORE
            ):
                teacher_looks_by_task[candidate.task] = teacher_target(task, candidate.looks, self._config.max_looks)
        aim_by_task: dict[Id, Aim] = {
            task_id: (looks, "teacher") for task_id, looks in {**teacher_looks_by_task, **imported_looks_by_task}.items()
        }
        aim_by_task.update(
            {
                task_id: (measured_target.looks, measured_target.source)
                for task_id, measured_target in measured_target_by_task.items()
            }
        )
        return aim_by_task


def teacher_target(task: Task, looks: tuple[Look, ...], max_looks: int) -> tuple[Look, ...]:
    """Gold's windows, each at the density of the look of a teacher that meets it best, the first one where none does; where a
    task has no gold, windows and densities of the looks themselves, as many as a trajectory may have."""
    gold_window = right_window(task)
    if gold_window is None:
        return as_target(Look(look.window, look.fps) for look in looks[:max_looks])
    needed_windows = windows_of_set(task, max_looks)
    if not needed_windows:
        return (Look(gold_window, looks[0].fps),)
    return tuple(Look(window, max(looks, key=lambda look: iou((look.window,), (window,))).fps) for window in needed_windows)


def _encoded_looks(aim: Aim | None) -> list[object]:
    encode = column(Look).encode
    return [encode(look) for look in aim[0]] if aim and encode else []
