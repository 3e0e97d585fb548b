"""A run that is killed when the teacher's N-th answer comes: `python -m tests.teachers.killed_run WORKSPACE N`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from dmforge.commands import run
from dmforge.curation.contract.run_events import RequestAnswered, RunEvent, RunEvents
from dmforge.curation.engine import run_log
from dmforge.curation.workspace_folder import WorkspaceFolder


def main(place: str, last: int) -> None:
    answers = 0

    def kill(event: RunEvent) -> None:
        nonlocal answers
        answers += isinstance(event, RequestAnswered)
        if answers == last:
            os.kill(os.getpid(), signal.SIGKILL)

    run_log.WRITE_EVERY_S = 0.0
    list(run.run(WorkspaceFolder(Path(place)), Console(quiet=True), "killed", events=RunEvents(kill)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
