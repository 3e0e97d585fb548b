"""Do a hundred times as many tasks take a hundred times as long, the same memory, and no more files than they need?

The chain of `tests/support/invented.py` at several sizes, each in a process and a workspace of its own: a question is asked,
journalled, judged, selected and packed as any other. With `--of sets` it is the stages that see all tasks at once, with `--of
drawn` those that decide which are used. Time is CPU time, since a machine that others use shows it truer; wall time stands
beside it. Memory is the driver's, which does all the work here; its peak is taken anew for each stage. A size is measured once:
its row stays in the folder. What the number of parts costs, `benchmarks.many_parts` measures.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.io.process_startup import few_heaps
from dmforge.curation.lake.commits import Lake
from dmforge.curation.workspace_folder import WorkspaceFolder
from tests.support.invented import chain, drawn, sets
from tests.support.tables import show

COMMAND = "python -m benchmarks.growth"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
CHAINS = {"chain": chain, "sets": sets, "drawn": drawn}
FROM, SLACK = 10_000, 0.2
"""From this size on a task may cost a fifth more or less than there; below, what a process costs once shows."""


@dataclass(frozen=True, slots=True)
class Stood:
    """What a stage cost."""

    name: str
    settled: int
    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Grown:
    """What one size cost, and what it left."""

    tasks: int
    stages: tuple[Stood, ...]
    again_s: float
    """Wall time of a run that finds nothing to do."""
    again_mb: float
    parts: int
    lake_mb: float
    journal_mb: float
    shards: int
    shards_mb: float

    @property
    def cpu_s(self) -> float:
        return sum(stage.cpu_s for stage in self.stages)

    @property
    def peak_mb(self) -> float:
        return max(stage.peak_mb for stage in self.stages)


def peak_mb() -> float:
    """Of resident memory since it was last asked."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    Path("/proc/self/clear_refs").write_text("5")
    return int(fields["VmHWM"].split()[0]) / 1024


def cpu_s() -> float:
    """Of this process and of all that it started and waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(workspace: WorkspaceFolder, stages: Sequence[AnyStage]) -> list[Stood]:
    """All of these, as `dmforge run` would."""
    stood: list[Stood] = []
    wall, cpu = time.monotonic(), cpu_s()
    with workspace.held("benchmark"):
        for report in Driver(Lake(workspace), stages, LocalExecutor(), Console(stderr=True)).run(stages):
            if report.tally.pending:
                sys.exit(f"{report.name} left {report.tally.pending} pending: {report.deferred}")
            wall_now, cpu_now = time.monotonic(), cpu_s()
            stood.append(Stood(report.name, report.tally.settled, wall_now - wall, cpu_now - cpu, peak_mb()))
            wall, cpu = wall_now, cpu_now
    return stood


def inside(root: Path, of: str, tasks: int, row: Path) -> None:
    """One size, in a process of its own; and once more in another, with nothing left to do."""
    workspace = WorkspaceFolder(root)
    stages = run(workspace, CHAINS[of](tasks))
    command = [sys.executable, "-m", "benchmarks.growth", "--again", str(root), "--of", of, "--sizes", str(tasks)]
    again = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    parts, shards = list(workspace.lake.glob("*/*.parquet")), list(workspace.shards.glob("*/*/*.tar"))
    grown = Grown(
        tasks, tuple(stages), again["s"], again["mb"],
        len(parts), _mb(parts), _mb(workspace.journal.glob("*/*")), len(shards), _mb(shards),
    )  # fmt: skip
    row.write_text(json.dumps(asdict(grown)))


def _mb(paths: Iterable[Path]) -> float:
    return sum(path.stat().st_size for path in paths) / 1e6


def measured(folder: Path, of: str, tasks: int) -> Grown:
    """A row, from the folder or anew."""
    row, root = folder / f"{of}-{tasks}.json", folder / f"ws-{of}-{tasks}"
    if not row.exists():
        shutil.rmtree(root, ignore_errors=True)
        command = [sys.executable, "-m", "benchmarks.growth", "--of", of, "--sizes", str(tasks)]
        command += ["--inside", str(root), "--row", str(row)]
        if subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode:
            sys.exit(f"{tasks} tasks failed")
        shutil.rmtree(root)
    fields = json.loads(row.read_text())
    return Grown(**{**fields, "stages": tuple(Stood(**stage) for stage in fields["stages"])})


def per_task_ms(grown: Grown) -> float:
    return 1000 * grown.cpu_s / grown.tasks


def print_rows(rows: Sequence[Grown], command: str) -> None:
    stages = [stage.name for stage in rows[0].stages]
    show(
        "CPU seconds (wall seconds) a stage", command, ["tasks", *stages, "in all", "CPU ms a task"],
        [[f"{row.tasks:,}", *(f"{s.cpu_s:.1f} ({s.wall_s:.0f})" for s in row.stages),
          f"{row.cpu_s:.1f} ({sum(s.wall_s for s in row.stages):.0f})", f"{per_task_ms(row):.2f}"] for row in rows],
    )  # fmt: skip
    show(
        "Peak memory of the driver a stage, MB", command, ["tasks", *stages, "run again"],
        [[f"{row.tasks:,}", *(f"{stage.peak_mb:.0f}" for stage in row.stages), f"{row.again_mb:.0f}"] for row in rows],
    )  # fmt: skip
    show(
        "What is left", command, ["tasks", "parts", "lake MB", "journal MB", "shards", "shards MB", "run again s"],
        [[f"{row.tasks:,}", row.parts, f"{row.lake_mb:.0f}", f"{row.journal_mb:.0f}", row.shards, f"{row.shards_mb:.0f}",
          f"{row.again_s:.1f}"] for row in rows],
    )  # fmt: skip


def verdict(rows: Sequence[Grown]) -> list[str]:
    """What holds and what doesn't, between the first large size and the largest."""
    large = [row for row in rows if row.tasks >= FROM]
    if len(large) < 2:
        return []
    first, last = large[0], large[-1]
    times, more = per_task_ms(last) / per_task_ms(first), last.peak_mb / first.peak_mb
    span = f"from {first.tasks:,} to {last.tasks:,}"
    return [
        f"CPU a task {span}: x {times:.2f}" + ("" if abs(times - 1) <= SLACK else ": NOT linear within a fifth"),
        f"peak memory {span}: x {more:.2f}" + ("" if more <= 1 + SLACK else ": NOT flat"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES[:3])), help="tasks, with commas; 1000000 takes an hour")
    parser.add_argument("--of", choices=CHAINS, default="chain", help="what is run")
    parser.add_argument("--folder", type=Path, help="keeps each row, so that a size is measured once")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--again", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--row", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    few_heaps()  # as the command line does
    sizes = [int(size) for size in arguments.sizes.split(",")]
    if arguments.again:
        began = time.monotonic()
        stood = run(WorkspaceFolder(arguments.again), CHAINS[arguments.of](sizes[0]))
        print(json.dumps({"s": time.monotonic() - began, "mb": max(stage.peak_mb for stage in stood)}))
        return
    if arguments.inside:
        inside(arguments.inside, arguments.of, sizes[0], arguments.row)
        return
    with tempfile.TemporaryDirectory(prefix="dmforge-growth-") as scratch:
        folder = arguments.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [measured(folder, arguments.of, size) for size in sizes]
    print_rows(rows, f"{COMMAND} --of {arguments.of} --sizes {arguments.sizes}")
    print("\n" + "\n".join(verdict(rows)))


if __name__ == "__main__":
    main()
