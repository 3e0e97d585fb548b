"""Steps of a run that have a name, `annotate:fsync:3`: a stage, a call by which it changes the disk, and which of these calls.

python -m chaos.steps REPORT [STEP ...] -- run -w WORKSPACE

runs the command line as it is, on a machine that counts its calls. At the first of these steps it stops itself (SIGSTOP), and
REPORT says at which: whoever started it kills it there, from outside, with all that it has started. A write stops with half of
its bytes written. If the run ends by itself, REPORT has the number of all steps. Steps are those of the run's own process: what
its workers are doing then is as it happens.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dmforge import cli
from dmforge.commands import full_run
from dmforge.curation.contract.run_events import Follower, RequestAnswered, RunEvent, RunEvents, StageBegan
from dmforge.curation.io import machine

START = "start"
"""What comes before the first stage that has something to do."""
CALLS = ("write", "pwrite", "fsync", "replace", "commit", "unlink", "make_folder", "remove_tree", "answer")
"""`commit` is the rename that makes a batch exist, `replace` any other. At an `answer` one is paid for, not yet on disk."""
COMMITS = "commits"
"""The folder in which stages have theirs."""
HALF = 2


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a run."""

    stage: str
    call: str
    number: int
    """Counted from 1, in this run and stage."""

    def __str__(self) -> str:
        return f"{self.stage}:{self.call}:{self.number}"

    @classmethod
    def read(cls, text: str) -> Self:
        """The inverse of `str`; ValueError where it is no step."""
        stage, call, number = text.split(":")
        if call not in CALLS or int(number) < 1:
            raise ValueError(f"{text!r} is no step: STAGE:CALL:NUMBER, with a call of {', '.join(CALLS)}")
        return cls(stage, call, int(number))


class StoppingMachine(machine.Machine):
    """A machine that counts the calls of this process by stage, and stops it at the first of some steps."""

    def __init__(self, report: Path, steps: Iterable[Step]) -> None:
        self._report, self._steps, self._pid = report, frozenset(steps), os.getpid()
        self._counts, self._lock, self._stage = Counter[tuple[str, str]](), threading.Lock(), START

    def follow(self, event: RunEvent) -> None:
        """Note which stage is under way."""
        if isinstance(event, StageBegan):
            self._stage = event.stage
        elif isinstance(event, RequestAnswered) and self._is_there("answer"):
            self._stop()

    def write_counts(self) -> None:
        """Report that the run has ended by itself."""
        self._report.write_text(json.dumps({"counts": [[*place, count] for place, count in self._counts.items()]}))

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self._is_there("write"):
            super().write(descriptor, data[: len(data) // HALF])
            self._stop()
        return super().write(descriptor, data)

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        if self._is_there("pwrite"):
            super().pwrite(descriptor, data[: len(data) // HALF], offset)
            self._stop()
        return super().pwrite(descriptor, data, offset)

    def fsync(self, descriptor: int) -> None:
        self._pass("fsync")
        super().fsync(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        self._pass("commit" if target.parent.parent.name == COMMITS else "replace")
        super().replace(source, target)

    def unlink(self, path: Path) -> None:
        self._pass("unlink")
        super().unlink(path)

    def make_folder(self, path: Path) -> None:
        self._pass("make_folder")
        super().make_folder(path)

    def remove_tree(self, folder: Path) -> None:
        self._pass("remove_tree")
        super().remove_tree(folder)

    def _pass(self, call: str) -> None:
        if self._is_there(call):
            self._stop()

    def _is_there(self, call: str) -> bool:
        """Count a call; whether it is one to stop at."""
        with self._lock:
            self._counts[self._stage, call] += 1
            step = Step(self._stage, call, self._counts[self._stage, call])
            if step not in self._steps or os.getpid() != self._pid:
                return False
            self._report.write_text(json.dumps({"stopped": str(step)}))
            return True

    def _stop(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)
        while True:  # another thread may get the signal: this one must not go on until it has
            time.sleep(1)


def main() -> None:
    report, *words = sys.argv[1:]
    separator = words.index("--")
    stopping = StoppingMachine(Path(report), map(Step.read, words[:separator]))
    machine.current = stopping

    class WatchedEvents(RunEvents):
        """The events of a run, which the machine follows, too."""

        def __init__(self, *followers: Follower) -> None:
            super().__init__(stopping.follow, *followers)

    full_run.RunEvents = WatchedEvents
    sys.argv[1:] = words[separator + 1 :]
    try:
        cli.main()
    finally:
        stopping.write_counts()


def counts(report: Path) -> Mapping[str, Counter[str]]:
    """How many calls a run that ended by itself made, by stage."""
    counts_by_stage: dict[str, Counter[str]] = {}
    for stage, call, count in json.loads(report.read_text())["counts"]:
        counts_by_stage.setdefault(stage, Counter())[call] = count
    return counts_by_stage


def stopped_at(report: Path) -> Step | None:
    """The step at which a run has stopped; None where it ended by itself."""
    stopped = json.loads(report.read_text()).get("stopped") if report.exists() else None
    return None if stopped is None else Step.read(stopped)


if __name__ == "__main__":
    main()
