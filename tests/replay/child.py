"""Runs of a recipe as processes of their own that begin at once: what they import was imported before they were forked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from rich.console import Console

from dmforge.commands import run
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.inference.engines import transformers_engine as _engine
from dmforge.generators.student import load_student as _load

if __name__ == "__main__":
    assert _engine, _load
    torch.set_num_threads(1)
    for line in sys.stdin:
        place, until = line.split()
        pid = os.fork()
        if not pid:
            reports = run.run(WorkspaceFolder(Path(place)), Console(quiet=True), "x", until)
            pending = [report for report in reports if report.tally.pending]
            os._exit(bool(pending))
        print(pid, flush=True)  # noqa: T201 (it is read by the test)
        print(os.waitpid(pid, 0)[1], flush=True)  # noqa: T201
