"""A stage may be given a row beside the rows that it names: whole, and the very ones."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from dmforge.curation.contract.stage import AnyStage, Ask, AskConfig, Batch, Each, EachConfig, StageConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.engine.rehearsal import CountConfig, RehearsalCount
from dmforge.curation.lake import worklist
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import Id, show
from dmforge.schemas.records import Candidate, CandidateWithTask, Joined, Record, Task, Verdict
from dmforge.schemas.transcript import COARSE, Piece, Transcript


class Answer(Batch[Task, Candidate]):
    """Two candidates a task."""

    name, version = "answer", 1
    config: StageConfig

    def process(self, items: Iterator[Task]) -> Iterator[Result]:
        for task in items:
            pieces = Transcript((COARSE, Piece("prompt", task.question), Piece("policy", "x")))
            yield Made(tuple(Candidate(task.video, task.id, n, "t", pieces, (), task.answer, "gold", ()) for n in range(2)))


def judged(name: str, item: CandidateWithTask) -> Made:
    right = item.candidate.task == item.task.id and item.candidate.answer == item.task.answer
    detail = f"{show('task', item.task.id)} {item.task.question}"
    return Made((Verdict(item.task.video, item.candidate.id, "candidate", name, float(right), 1, detail=detail),))


class InStreams(Batch[CandidateWithTask, Verdict]):
    name, version = "streams", 1
    config: StageConfig

    def process(self, items: Iterator[CandidateWithTask]) -> Iterator[Result]:
        return (judged(self.name, item) for item in items)


class InProcesses(Each[CandidateWithTask, Verdict]):
    name, version = "processes", 1
    config: EachConfig

    def process(self, item: CandidateWithTask) -> Result:
        return judged(self.name, item)


class InFlight(Ask[CandidateWithTask, Verdict]):
    name, version = "flight", 1
    config: AskConfig

    async def process(self, item: CandidateWithTask) -> Result:
        return judged(self.name, item)


@dataclass(frozen=True, slots=True)
class Pair(Record):
    """A video, and a question about another one."""

    kind = "pair"
    table = "pairs"

    video: Id
    task: Id


@dataclass(frozen=True, slots=True)
class Paired(Joined):
    elsewhere = frozenset({"task"})

    pair: Pair
    task: Task


class Pairs(Batch[Task, Pair]):
    """Each task's video with the task that is farthest from it in the order of videos."""

    name, version = "pairs", 1
    config: StageConfig

    def process(self, items: Iterator[Task]) -> Iterator[Result]:
        tasks = list(items)
        for task, other in zip(tasks, [*tasks[20:], *tasks[:20]], strict=True):
            yield Made((Pair(task.video, other.id),))


class OfPairs(Batch[Paired, Verdict]):
    name, version = "of_pairs", 1
    config: StageConfig

    def process(self, items: Iterator[Paired]) -> Iterator[Result]:
        for item in items:
            same = float(item.task.id == item.pair.task)
            yield Made(
                (Verdict(item.pair.video, item.pair.id, "video", self.name, same, int(item.task.video == item.pair.video)),)
            )


def test_a_row_about_another_video_is_found_however_ranges_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklist, "RANGE_ROWS", 5)
    stages: list[AnyStage] = [
        RehearsalCount(CountConfig(tasks=40, reject_every=0, workers=1)), Pairs(StageConfig()), OfPairs(StageConfig())
    ]  # fmt: skip
    lake = Lake(WorkspaceFolder(tmp_path))
    reports = list(Driver(lake, stages, LocalExecutor(), Console(file=io.StringIO())).run(stages))
    assert reports[-1].tally.made == 40
    found = LakeView(lake, stages).connection.execute("SELECT min(score), sum(n) FROM verdicts").fetchall()
    assert found == [(1.0, 0)]


def test_every_shape_is_given_a_candidate_beside_its_own_task(tmp_path: Path) -> None:
    small = {"batch_items": 7}
    stages: list[AnyStage] = [
        RehearsalCount(CountConfig(tasks=40, reject_every=10, workers=1)),
        Answer(StageConfig(**small)),
        InStreams(StageConfig(**small)),
        InProcesses(EachConfig(**small, workers=2)),
        InFlight(AskConfig(**small)),
    ]
    lake = Lake(WorkspaceFolder(tmp_path))
    reports = list(Driver(lake, stages, LocalExecutor(), Console(file=io.StringIO())).run(stages))
    assert [report.tally.made for report in reports] == [36, 36, 72, 72, 72]
    assert not any(report.tally.pending for report in reports)
    sql = """
        SELECT filter, count(*), count(DISTINCT v.subject), min(score), bool_and(ends_with(v.detail, t.question))
        FROM verdicts v JOIN candidates c ON c.id = v.subject JOIN tasks t ON t.id = c.task GROUP BY filter ORDER BY filter
    """
    found = LakeView(lake, stages).connection.execute(sql).fetchall()
    assert found == [(name, 72, 72, 1.0, True) for name in ("flight", "processes", "streams")]
