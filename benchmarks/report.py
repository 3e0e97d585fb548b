"""How long does the report of a million candidates take, and a page of a review over a hundred thousand samples?

The lake is that of `benchmarks.select`, with made-up rows and without media; what is selected is written as a run would have.
Measured are whole processes of the command line, beside the funnel alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmarks.select import build, timed
from dmforge.curation.contract.stage_results import Origin
from dmforge.curation.lake.commits import CommitDraft, Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.selection.select_cot import SelectCot
from dmforge.recipe import read_recipe
from dmforge.schemas.ids import digest
from dmforge.schemas.records import Outcome, Sample
from tests.support.tables import show

COMMAND = "python -m benchmarks.report"


def selected(workspace: WorkspaceFolder) -> WorkspaceFolder:
    """What the recipe's thresholds keep, written down. A run would scan for inputs first, and here there are none."""
    stages = read_recipe(workspace.recipe).stages
    stage = stages[-1]
    assert isinstance(stage, SelectCot)
    with workspace.held("benchmark"):
        lake = Lake(workspace)
        origin = Origin(stage.name, LakeView(lake, stages).variant(stage))
        pieces = list(stage.process(LakeView(lake, stages[:-1]), origin))
        draft = CommitDraft("collective", stage.name, origin.variant, digest("collective", stage.name), {})
        tables = {Outcome.table: [p.outcomes for p in pieces], Sample.table: [p.rows[Sample.table] for p in pieces]}
        lake.publish(draft, tables)
    return workspace


def command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "dmforge.cli", *words], capture_output=True, check=True, env={**os.environ})


def reviewed(workspace: WorkspaceFolder, samples: int) -> list[list[object]]:
    """Every page of a review, one after the other, as a browser asks for them; then some cards."""
    words = ["review", "cot", "--sample", str(samples), "--as", "anna", "-w", str(workspace.root)]
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "dmforge.cli", *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().strip())
        rows: list[list[object]] = [
            [f"review of {samples:,}, until its address is told", f"{time.monotonic() - began:.2f}", ""]
        ]
        try:
            pages_s, cards_s, listed = walked(address.port or 0, address.query.removeprefix("token="))
        finally:
            process.send_signal(signal.SIGINT)
    for name, seconds in ((f"its {len(pages_s):,} pages of 50", pages_s), ("cards without media", cards_s)):
        rows.append([f"{name}: median, slowest", f"{np.median(seconds):.3f}", f"{max(seconds):.3f} s"])
    assert listed == samples
    return rows


def walked(port: int, token: str) -> tuple[list[float], list[float], int]:
    """Seconds of each page and of some cards, and how many samples were listed."""
    connection = HTTPConnection("127.0.0.1", port)
    cookie = {"Cookie": f"dmforge-{port}={token}"}

    def ask(path: str) -> tuple[float, bytes]:
        began = time.monotonic()
        connection.request("GET", path, headers=cookie)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return time.monotonic() - began, text

    following, pages_s, cards_s, listed = "", list[float](), list[float](), 0
    while following is not None:
        took_s, text = ask(f"/samples?after={following}" if following else "/samples")
        page = json.loads(text)
        following, listed = page["next"], listed + len(page["samples"])
        pages_s.append(took_s)
        if len(pages_s) % 100 == 1:
            cards_s.append(ask(f"/samples/{page['samples'][0]['id']}")[0])
    connection.close()
    return pages_s, cards_s, listed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-report-") as folder:
        workspace = build(Path(folder, "ws"), arguments.candidates)
        workspace.recipe.write_text(workspace.recipe.read_text().replace("[stages.rules]", "[stages.rules]\n[stages.human]"))
        selected(workspace)
        root, page = str(workspace.root), Path(folder, "report.html")
        rows: list[list[object]] = []
        took_s, _ = timed(lambda: command("report", str(page), "-w", root))
        rows.append(["report", f"{took_s:.2f}", f"{page.stat().st_size:,} bytes"])
        took_s, _ = timed(lambda: command("audit", "funnel", "-w", root))
        rows.append(["baseline: audit funnel", f"{took_s:.2f}", ""])
        rows += reviewed(workspace, arguments.candidates // 10)
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        rows.append(["most memory of any of them", "", f"{peak_mb:,.0f} MB"])
    title = f"A report over {arguments.candidates:,} candidates"
    show(title, f"{COMMAND} --candidates {arguments.candidates}", ["what", "s", ""], rows)


if __name__ == "__main__":
    main()
