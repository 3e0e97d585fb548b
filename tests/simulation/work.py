"""The work that is simulated: a driver or ranks on a workspace, and who else comes to it; each as a person would start it."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from dmforge.commands import rank_run, run, standing, upgrade
from dmforge.curation.contract.collective import StageCounts
from dmforge.curation.contract.stage import AnyStage, Each
from dmforge.curation.engine.driver import StageReport
from dmforge.curation.engine.executors.batch_results import Advance, FinishedBatch, OpenBatch
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.engine.rehearsal import TASKS_A_VIDEO
from dmforge.curation.lake.partition import Share
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Item
from tests.simulation.promises import LakePromises
from tests.simulation.scheduler import BrokenPromise, Scheduler
from tests.simulation.simulated_teacher import SimulatedTeacher

RECIPE = """name = "simulation"
[stages.count]
tasks = {tasks}
reject_every = 7
batch_items = {batch_items}
[stages.inquire]
concurrency = 3
batch_items = {batch_items}
[stages.keep]
threshold = 0.5
"""
PER_TASK = ("inquire", "keep")
"""Stages with an input for each task."""
COMMAND = "simulated"
RANK_WAIT_S = 30.0
LOOKS = 3
"""How often a reader looks."""

Attempt = Callable[[], bool]
"""Starts a command; whether nothing is left to be done."""


class OneProcessExecutor(LocalExecutor):
    """Does the work of killable processes in this one, their inputs in a drawn order."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def execute(
        self, stage: AnyStage, workspace: WorkspaceFolder, batches: Iterator[WorkBatch], advance: Advance
    ) -> Iterator[FinishedBatch]:
        if not isinstance(stage, Each):
            yield from super().execute(stage, workspace, batches, advance)
            return
        stage.open(workspace)
        open_batches: deque[tuple[OpenBatch, list[tuple[int, Item]]]] = deque()
        while True:
            while len(open_batches) < 2 and (batch := next(batches, None)) is not None:
                open_batches.append((OpenBatch(batch.keys()), list(enumerate(from_arrow(stage.item, batch.items)))))
            if not open_batches:
                return
            open_batch, waiting = drawn = self._scheduler.draw().choice(open_batches)
            index, item = waiting.pop()
            self._scheduler.step("work")
            open_batch.results[index] = stage.process(item)
            advance(1)
            if not waiting:
                open_batches.remove(drawn)
                yield open_batch.finished(stage)


class Work:
    """Commands on one workspace."""

    def __init__(self, root: Path, scheduler: Scheduler, teacher: SimulatedTeacher, promises: LakePromises, tasks: int) -> None:
        self._workspace, self._scheduler, self._teacher = WorkspaceFolder(root), scheduler, teacher
        self._promises, self._tasks = promises, tasks
        self._executor = OneProcessExecutor(scheduler)
        self.video: Id = digest("trial-video", 0)
        """The one that is taken down."""

    def drive(self) -> bool:
        return _is_done(run.run(self._workspace, quiet(), COMMAND, executor=self._executor))

    def rank(self, rank: int, ranks: int) -> bool:
        share = Share(rank, ranks)
        reports = rank_run.run_share(self._workspace, quiet(), COMMAND, share, RANK_WAIT_S, executor=self._executor)
        return _is_done(reports)

    def take_down(self) -> bool:
        self._promises.taken_down.add(self.video)
        self._teacher.forget(self.video)
        run.forget(self._workspace, COMMAND, "asked to", lambda lake: [self.video])
        self._teacher.forgotten.add(self.video)
        return True

    def merge(self, other: Path) -> bool:
        run.merge(self._workspace, COMMAND, [other])
        return True

    def upgrade(self) -> bool:
        upgrade.upgrade_workspace(self._workspace, COMMAND, dry_run=False)
        return True

    def look(self) -> bool:
        """See the counts of all stages and the digest. What a reader sees must add up by itself."""
        for _ in range(LOOKS):
            counts = standing.status(self._workspace)
            roots, made = _inputs(counts["count"]), counts["count"].made
            if roots not in (self._tasks, self._tasks - TASKS_A_VIDEO):
                raise BrokenPromise(f"a reader sees {roots} of {self._tasks} inputs: {counts}")
            for stage in PER_TASK:
                if _inputs(counts[stage]) != made:
                    raise BrokenPromise(f"{made} tasks were made, and {stage} counts {counts[stage]}")
            self._scheduler.sleep(self._scheduler.draw().uniform(0, 3))
        run.digest(self._workspace)
        return True

    def attempts(self, ranks: int, jobs: tuple[str, ...], other: Path) -> dict[str, Attempt]:
        """What each job starts, again and again until it is done."""
        beside: dict[str, Attempt] = {
            "second driver": self.drive, "takedown": self.take_down, "merge": partial(self.merge, other),
            "reader": self.look, "upgrade": self.upgrade,
        }  # fmt: skip
        workers: dict[str, Attempt] = {f"rank {rank}": partial(self.rank, rank, ranks) for rank in range(ranks)}
        return (workers or {"driver": self.drive}) | {job: beside[job] for job in jobs}


def write_workspace(root: Path, tasks: int, batch_items: int) -> None:
    """A workspace of the first format, ready to run."""
    (root / "inputs").mkdir(parents=True)
    (root / "recipe.toml").write_text(RECIPE.format(tasks=tasks, batch_items=batch_items))


def quiet() -> Console:
    return Console(file=io.StringIO())


def _inputs(counts: StageCounts) -> int:
    return counts.pending + counts.made + counts.rejected + counts.quarantined


def _is_done(reports: Iterator[StageReport]) -> bool:
    return not sum(report.tally.pending for report in reports)
