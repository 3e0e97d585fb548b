"""What does the start of a stage cost where the lake has many parts? The rows are the same: only how they are cut differs.

Tasks are made by one stage and scored by a second, in so many batches each; a third scores them once more and is interrupted
half-way. Measured is the CPU time of what comes before a first batch, of that third stage and of a fourth that has settled
nothing: opening the lake, sweeping it, counting, and reading the batch with the hashing of its parts; then of reading all that
is pending. Compaction is kept from joining parts: it would leave so many only of a lake that is a thousand times as large.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from dmforge.curation.contract.stage import AnyStage, Batch, BatchConfig, Root
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.batch_results import Advance, FinishedBatch
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.engine.rehearsal import TASKS_A_VIDEO, RehearsalNumber, RehearsalScore, ScoreConfig
from dmforge.curation.io.process_startup import few_heaps
from dmforge.curation.lake import compaction
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lake.worklist import WorkBatch, pending_batches
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.config import Operational
from dmforge.schemas.ids import digest
from dmforge.schemas.records import Task
from tests.support.tables import show

COMMAND = "python -m benchmarks.many_parts"
PARTS = (100, 1_000, 10_000)
ROWS = 100_000


class NumbersConfig(BatchConfig):
    """How many numbers there are."""

    tasks: Operational[int]


class Numbers(Root, Batch[RehearsalNumber, Task]):
    """Numbers to tasks."""

    name, version = "numbers", 1
    config: NumbersConfig

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return f"{self.config.tasks} numbers"

    def scan(self, workspace: WorkspaceFolder) -> Iterator[RehearsalNumber]:
        for number in range(self.config.tasks):
            yield RehearsalNumber(digest("video", number // TASKS_A_VIDEO), number)

    def process(self, items: Iterator[RehearsalNumber]) -> Iterator[Result]:
        for item in items:
            yield Made((Task(item.video, "open", f"What is the square of {item.number}?", (), str(item.number**2), (), "any"),))


class Again(RehearsalScore):
    """Another score, in which the run is interrupted."""

    name = "again"


class Fresh(RehearsalScore):
    """Another score, which has never run."""

    name = "fresh"


class Interrupted(Exception):
    """Half of the batches are done."""


class InterruptedExecutor(LocalExecutor):
    """Ends the run after so many batches of `again`."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self._batches = batches

    def execute(
        self, stage: AnyStage, workspace: WorkspaceFolder, batches: Iterator[WorkBatch], advance: Advance
    ) -> Iterator[FinishedBatch]:
        for number, finished in enumerate(super().execute(stage, workspace, batches, advance), 1):
            yield finished
            if stage.name == Again.name and number == self._batches:
                raise Interrupted


def chain(rows: int, parts: int) -> tuple[AnyStage, ...]:
    score = ScoreConfig(batch_items=rows // parts)
    numbers = Numbers(NumbersConfig(tasks=rows, batch_items=rows // parts))
    return numbers, RehearsalScore(score), Again(score), Fresh(ScoreConfig())


def build(workspace: WorkspaceFolder, stages: Sequence[AnyStage], parts: int) -> None:
    """A lake in which the first two stages are done, and half of the third."""
    compaction.SMALL_BYTES = 0
    driver = Driver(Lake(workspace), stages, InterruptedExecutor(parts // 2), Console(stderr=True, quiet=True))
    with workspace.held("benchmark"), suppress(Interrupted):
        deque(driver.run(stages[:3]), 0)


def measured(workspace: WorkspaceFolder, stages: Sequence[AnyStage]) -> dict[str, float]:
    """The CPU seconds of each step of a start."""
    LakeView(Lake(WorkspaceFolder(workspace.root / "none")), stages).connection.execute("SELECT 1").fetchall()
    cpu_s_by_step: dict[str, float] = {}
    began = time.process_time()

    def step_done(step: str) -> None:
        nonlocal began
        cpu_s_by_step[step] = time.process_time() - began
        began = time.process_time()

    lake = Lake(workspace)
    step_done("open")
    lake.sweep()
    step_done("sweep")
    for stage in stages[1:]:
        view = LakeView(lake, stages)
        if view.tally(stage).pending == 0:
            step_done("count, done")
            continue
        state = "half done" if stage.name == Again.name else "new"
        step_done(f"count, {state}")
        batches = pending_batches(view, stage)
        next(batches)
        step_done(f"first batch, {state}")
        deque(batches, 0)
        step_done(f"the others, {state}")
    return cpu_s_by_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(map(str, PARTS)), help="parts a table, with commas")
    parser.add_argument("--rows", type=int, default=ROWS, help="tasks; where rows are cut ever finer, files are what is left")
    parser.add_argument("--folder", type=Path, help="keeps each lake, so that it is built once: 10,000 parts take ten minutes")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    few_heaps()  # as the command line does
    sizes = [int(size) for size in arguments.parts.split(",")]
    if arguments.measure:
        print(json.dumps(measured(WorkspaceFolder(arguments.measure), chain(arguments.rows, sizes[0]))))
        return
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="dmforge-parts-") as scratch:
        for size in sizes:
            root = (arguments.folder or Path(scratch)) / f"ws-{size}"
            if not root.exists():
                build(WorkspaceFolder(root), chain(arguments.rows, size), size)
            options = ["--measure", str(root), "--parts", str(size), "--rows", str(arguments.rows)]
            command = [sys.executable, "-m", "benchmarks.many_parts", *options]
            rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    cells = [[f"{size:,}", *(f"{cpu_s:.2f}" for cpu_s in row.values())] for size, row in zip(sizes, rows, strict=True)]
    show("CPU seconds of a start", COMMAND, ["parts a table", *rows[0]], cells)


if __name__ == "__main__":
    main()
