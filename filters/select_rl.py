"""Tasks become samples for reinforcement: those that a student neither always nor never solves, with the look that is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import pyarrow as pa
from pydantic import Field, PositiveInt, model_validator

from dmforge.curation.lake.shares import Bounds
from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Rejected, Result, Settled, settle
from dmforge.curation.sources.importing import target_of
from dmforge.curation.stage import Collective, StageConfig
from dmforge.filters.replaying import right_window
from dmforge.filters.selection import RANGE_SUBJECTS, UNDETERMINED, Dimension, Said, Score, Selection, Wanted
from dmforge.schemas.columns import column
from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Candidate, Provenance, Sample, Target, TargetSource, Task, Verdict, Video
from dmforge.schemas.scoring import answer_score

RIGHT = 0.5
"""A teacher whose answer overlaps gold by so much was right; other answers are right or not."""
NO_TARGET = "no target"
_TOLD = """
WITH misses AS (
    SELECT o.id, o.video, unnest([o.task, o.video]) AS subject, n.filter, n.least, n.most
    FROM verdict_of o JOIN named n ON n.bit = o.failed & -o.failed
), worst AS (
    SELECT m.id, any_value(v.score ORDER BY v.score, v.id) AS score, any_value(m.least) AS least, any_value(m.most) AS most
    FROM misses m JOIN verdicts v ON v.subject = m.subject AND v.filter = m.filter AND v.video = m.video
    WHERE v.video >= $low AND v.video < $high AND (v.score < m.least OR v.score > m.most)
    GROUP BY m.id
)
SELECT o.id, o.video, o.reason, o.detail, w.score, w.least, w.most
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
Aim = tuple[Look, TargetSource]


class SelectRlConfig(StageConfig):
    """What a task needs to be kept, and how many are in all."""

    corpus: str = Field("rl", pattern="^[a-z][a-z0-9_-]*$")
    """The name of the corpus."""
    least: dict[str, Score] = Field(default_factory=dict)
    """Filter -> the least score of a task or its video. The first that it misses, in the order of the alphabet, is its reason;
    one that nobody has measured leaves it undetermined."""
    most: dict[str, Score] = Field(default_factory=dict)
    """Filter -> the greatest score: `replay = 0.95` leaves out what a student always solves."""
    only: dict[Said, list[str]] = Field(default_factory=dict[Said, list[str]])
    """What is kept by where it comes from: `licence = ["CC0-1.0"]`. Of the annotation, or of the video with `video_`."""
    caps: dict[Dimension, PositiveInt] = Field(default_factory=dict[Dimension, int])
    """The most that are kept of each `video`, `kind`, `source`, `duration` or `density`."""
    balance: dict[Dimension, Annotated[float, Field(ge=1)]] = Field(default_factory=dict[Dimension, float])
    """The most that are kept of each, as so many times what there is of the rarest. Applied after caps."""

    teachers_look: bool = False
    """Where no student was tried and the file doesn't say either: aim at gold's window, at the density of the first teacher
    that answered right."""

    @model_validator(mode="after")
    def _leaves_room(self) -> SelectRlConfig:
        for name in sorted(self.least.keys() & self.most.keys()):
            if self.least[name] > self.most[name]:
                raise ValueError(f"no score of {name!r} is at least {self.least[name]:g} and at most {self.most[name]:g}")
        return self

    def wanted(self) -> Wanted:
        return Wanted(self.least, self.only, (), self.caps, self.balance, most=self.most)


class SelectRl(Collective[Task, Sample]):
    """Tasks to samples. The target is what a student was tried with; else what its file says."""

    name, version = "select_rl", 2
    config: SelectRlConfig
    also_reads = (Verdict, Provenance, Video, Target, Candidate)
    if_there = also_reads

    def asked_scores(self) -> frozenset[str]:
        return self.config.wanted().filters

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        connection, aims = view.connection.cursor(), Aims(view, teachers_look=self.config.teachers_look)
        ranges = view.ranges(Task, RANGE_SUBJECTS)
        selection = Selection(connection, self.config.wanted(), ranges, aims=aims.within)
        for bounds in selection.decided():
            rows = connection.sql(_TOLD, params=bounds).to_arrow_table().to_pylist()
            keys = [Key(row["id"], row["video"]) for row in rows]
            yield settle(origin, keys, [self._result(aims.found, **row) for row in rows], self.makes)

    def _result(
        self,
        found: Mapping[Id, Aim],
        id: bytes,
        video: bytes,
        reason: str | None,
        detail: str,
        score: float | None,
        least: float | None,
        most: float | None,
    ) -> Result:
        if reason is None:
            look, source = found[id]
            return Made((Sample(video, self.config.corpus, id, None, look, source),))
        if reason.startswith("above threshold") and score is not None:
            return Rejected(reason, f"{score:.3f} > {most:g}")
        if reason.startswith("below threshold") and score is not None:
            return Rejected(reason, f"{score:.3f} < {least:g}")
        return Rejected(reason, detail)


class Aims:
    """Where each task's answer shows, how densely one must look there, and who says so: of some videos at a time."""

    def __init__(self, view: View, *, teachers_look: bool) -> None:
        self._view, self._teachers_look = view, teachers_look
        self.found: Mapping[Id, Aim] = {}
        """Of the range that was asked for last."""
        coming = any(Target in stage.makes and view.tally(stage).pending for stage in view.stages)
        self._without = f"{UNDETERMINED}target" if coming else NO_TARGET

    def within(self, bounds: Bounds) -> pa.Table:
        """The tasks of a range, as a selection finds them."""
        tasks = self._view.about(bounds, Task)
        self.found = self._aims(bounds, tasks)
        rows = {
            "id": [task.id for task in tasks],
            "video": [task.video for task in tasks],
            "task": [task.id for task in tasks],
            "attempt": [0] * len(tasks),
            "looks": [_looks(self.found.get(task.id)) for task in tasks],
            "lacks": [None if task.id in self.found else self._without for task in tasks],
        }
        return pa.table(rows, _SUBJECTS)

    def _aims(self, bounds: Bounds, tasks: list[Task]) -> Mapping[Id, Aim]:
        tried = {row.task: row for row in self._view.about(bounds, Target)}
        told = {task.id: look for task in tasks if (look := target_of(task)) is not None}
        open_ = {task.id: task for task in tasks if task.id not in tried and task.id not in told}
        candidates = self._view.about(bounds, Candidate) if self._teachers_look else []
        taught: dict[Id, Look] = {}
        for one in sorted(candidates, key=lambda one: (one.attempt, one.id)):
            task = open_.get(one.task)
            if task is not None and one.looks and one.task not in taught and answer_score(one.answer, task) >= RIGHT:
                taught[one.task] = Look(right_window(task) or one.looks[0].window, one.looks[0].fps)
        aims: dict[Id, Aim] = {id: (look, "teacher") for id, look in {**taught, **told}.items()}
        aims.update({id: (row.look, row.source) for id, row in tried.items()})
        return aims


def _looks(aim: Aim | None) -> list[object]:
    encode = column(Look).encode
    return [encode(aim[0])] if aim and encode else []
