"""What the runner itself costs: a stage that does nothing, over many records, with isolation, batches, commits and compaction.

The baseline is the script one would write instead: one process, a loop over the same records, one Parquet file at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from dmforge.curation.contract.stage import Each, EachConfig
from dmforge.curation.contract.stage_results import Key, Made, Origin, Result, settle
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.engine.rehearsal import CountConfig, RehearsalCount
from dmforge.curation.lake.commits import Lake
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.records import Task, Verdict
from tests.support.memory import PeakMemory
from tests.support.tables import show


class NothingConfig(EachConfig):
    """Nothing can be told to nothing."""


class Nothing(Each[Task, Verdict]):
    """The stage that does nothing."""

    name, version = "nothing", 1
    config: NothingConfig

    def process(self, item: Task) -> Result:
        return Made(())


def work(workspace: WorkspaceFolder, records: int, until: str) -> None:
    """Run the two stages up to one, as `dmforge run` would."""
    stages = (RehearsalCount(CountConfig(tasks=records, reject_every=0)), Nothing(NothingConfig()))
    selected = stages[: 1 + [stage.name for stage in stages].index(until)]
    with workspace.held("benchmark"):
        for report in Driver(Lake(workspace), stages, LocalExecutor(), Console(stderr=True)).run(selected):
            if report.tally.pending:
                sys.exit(f"{report.name} left {report.tally.pending} pending")


def loop(workspace: WorkspaceFolder) -> None:
    """The baseline."""
    origin, outcomes = Origin("nothing", b"\0" * 16), []
    stage = Nothing(NothingConfig())
    for path in sorted((workspace.lake / "tasks").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(1000):
            tasks = from_arrow(Task, batch)
            results = [stage.process(task) for task in tasks]
            outcomes.append(settle(origin, [Key(task.id, task.video) for task in tasks], results, (Verdict,)).outcomes)
    pq.write_table(pa.concat_tables(outcomes), workspace.root / "baseline.parquet")


def measured(root: Path, records: int, workload: str) -> dict[str, float]:
    """One whole process, from the interpreter's start to its end."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.runner", "--inside", str(root), "--records", str(records), "--what", workload]
    with subprocess.Popen(command, text=True) as process, PeakMemory(process) as memory:
        if process.wait():
            sys.exit(f"{workload} failed")
    return {"s": time.perf_counter() - started, "mb": memory.peak_mb}


def compare(records: list[int]) -> list[dict[str, float]]:
    """Every measurement for each number of records."""
    measurements: list[dict[str, float]] = []
    for number in records:
        with tempfile.TemporaryDirectory(prefix="dmforge-") as folder:
            root = Path(folder)
            makes, no_op, again, plain = (
                measured(root, number, workload) for workload in ("count", "nothing", "nothing", "loop")
            )
        measurements.append(
            {"records": number, "s": no_op["s"], "mb": no_op["mb"], "again_s": again["s"], "loop_s": plain["s"]}
        )
        measurements[-1]["makes_s"] = makes["s"]
    return measurements


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--what", dest="workload", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        workspace = WorkspaceFolder(Path(arguments.inside))
        loop(workspace) if arguments.workload == "loop" else work(workspace, arguments.records[0], arguments.workload)
        return
    measurements = compare(arguments.records)
    if arguments.json:
        print(json.dumps(measurements))
        return
    columns = [
        "records",
        "no-op stage s",
        "records/s",
        "peak MB, all processes",
        "run again s",
        "plain loop s",
        "records made s",
    ]
    rows = [[r["records"], f"{r['s']:.1f}", f"{r['records'] / r['s']:.0f}", f"{r['mb']:.0f}"] for r in measurements]
    for row, r in zip(rows, measurements, strict=True):
        row += [f"{r['again_s']:.2f}", f"{r['loop_s']:.1f}", f"{r['makes_s']:.1f}"]
    show("The runner's own cost: whole processes, start to end", "python -m benchmarks.runner", columns, rows)


if __name__ == "__main__":
    main()
