"""How long does the report of a million candidates take, and a page of a review over a hundred thousand samples?

The lake is that of `benchmarks.select`, with made-up rows and without media; what is selected is written as a run would have.
Measured are whole processes of the command line, beside the funnel alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.select import build, timed
from benchmarks.tables import show
from dmforge import pipeline
from dmforge.curation.lake.commits import Draft, Lake
from dmforge.curation.lake.views import View
from dmforge.curation.settled import Origin
from dmforge.curation.workspace import Workspace
from dmforge.filters.select import SelectCot
from dmforge.schemas.ids import digest
from dmforge.schemas.records import Outcome, Sample

COMMAND = "python -m benchmarks.report"


def selected(workspace: Workspace) -> Workspace:
    """What the recipe's thresholds keep, written down. A run would scan for inputs first, and here there are none."""
    stages = pipeline.read_recipe(workspace.recipe).stages
    stage = stages[-1]
    assert isinstance(stage, SelectCot)
    with workspace.held("benchmark"):
        lake = Lake(workspace)
        origin = Origin(stage.name, View(lake, stages).variant(stage))
        pieces = list(stage.process(View(lake, stages[:-1]), origin))
        draft = Draft("collective", stage.name, origin.variant, digest("collective", stage.name), {})
        tables = {Outcome.table: [p.outcomes for p in pieces], Sample.table: [p.rows[Sample.table] for p in pieces]}
        lake.publish(draft, tables)
    return workspace


def command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "dmforge.cli", *words], capture_output=True, check=True, env={**os.environ})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_000_000)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-report-") as folder:
        workspace = selected(build(Path(folder, "ws"), told.candidates))
        root, page = str(workspace.root), Path(folder, "report.html")
        rows: list[list[object]] = []
        took_s, _ = timed(lambda: command("audit", "--html", str(page), "-w", root))
        rows.append(["audit --html", f"{took_s:.2f}", f"{page.stat().st_size:,} bytes"])
        took_s, _ = timed(lambda: command("audit", "funnel", "-w", root))
        rows.append(["baseline: audit funnel", f"{took_s:.2f}", ""])
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        rows.append(["most memory of any of them", "", f"{peak_mb:,.0f} MB"])
    title = f"A report over {told.candidates:,} candidates"
    show(title, f"{COMMAND} --candidates {told.candidates}", ["what", "s", ""], rows)


if __name__ == "__main__":
    main()
