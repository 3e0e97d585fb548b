"""A workspace that is disturbed until it is finished, and the books on that: what was done, where, what was asked twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos.gate import Gate, gate
from chaos.steps import Step, stopped_at
from chaos.subjects import CONCURRENCY, Subject
from chaos.undisturbed import Calm, Difference, compared, quarantined, report_of, run, run_until
from dmforge.curation.workspace_folder import WorkspaceFolder
from tests.support.memory import tree

GONE_S = 5.0
RETRIED = 3


@dataclass
class Tally:
    """What was done, and what came of it."""

    kills: int = 0
    """Of whole runs."""
    struck: Counter[str] = field(default_factory=Counter[str])
    """What was done, by kind."""
    killed_in: Counter[str] = field(default_factory=Counter[str])
    """Kills, by the stage that was under way."""
    killed_before: Counter[str] = field(default_factory=Counter[str])
    """Kills at steps, by the call that came next."""
    rounds: int = 0
    """Workspaces that were finished."""
    same_files: int = 0
    """Of those, with every byte of an undisturbed one; the others have its digest, media and shards."""
    lost: int = 0
    doubled: int = 0
    """Rows."""
    asked_twice: int = 0
    """Answers that were given a second time, since the first was on its way when it was lost."""
    max_twice_a_kill: int = 0
    retried: int = 0
    """Inputs that had to be reopened by --retry-quarantined, since what killed their process did so twice."""


class Failed(Exception):
    """A promise was broken."""


class Trial:
    """One workspace, from its first run to its last."""

    def __init__(self, calm: Calm, workspace: Path, tally: Tally, rng: random.Random, servers: _Servers, door: Gate) -> None:
        self.calm, self.workspace, self.tally, self.rng = calm, workspace, tally, rng
        self.door, self.servers, self.finished = door, servers, False

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A run, as a person would start it."""
        return run(self.workspace, self.calm.subject.environment(self.door.url), *words)

    @property
    def stage(self) -> str | None:
        return self.calm.under_way(self.workspace)

    def start_until(self, steps: Sequence[Step]) -> subprocess.Popen[str]:
        """A run that stands still at the first of some steps."""
        return run_until(self.workspace, self.calm.subject.environment(self.door.url), steps)

    def stopped(self, process: subprocess.Popen[str]) -> Step | None:
        """Wait until it stands still at a step, and say at which; None where it has ended by itself."""
        change = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        return stopped_at(report_of(self.workspace)) if change and change.si_code == os.CLD_STOPPED else None

    def struck(self, kind: str, where: str, step: str = "") -> None:
        """Write down what was just done, and at which stage."""
        self.tally.struck[kind] += 1
        print(f"round {self.tally.rounds}: {kind}, {step or where}", file=sys.stderr, flush=True)
        self.tally.killed_in[where] += 1

    def kill(self, process: subprocess.Popen[str]) -> None:
        """A run and, as they must go with it, all that it started."""
        members = tree(process.pid)
        process.kill()
        process.wait()
        self.tally.kills += 1
        deadline = time.monotonic() + GONE_S
        while alive := [pid for pid in members if runs_still(pid)]:
            if time.monotonic() > deadline:
                raise Failed(f"processes {alive} of a killed run are still there")
            time.sleep(0.02)

    def ended(self, process: subprocess.Popen[str], *allowed: str) -> bool:
        """Whether a run that ended by itself has done its work; if it hasn't, it must say one of these and exit with 1."""
        _, stderr = process.communicate()
        if process.returncode == 0:
            self.finished = True
        elif process.returncode != 1 or not any(words in " ".join(stderr.split()) for words in allowed):
            raise Failed(f"a run ended with {process.returncode}: {stderr[-2000:]}")
        return self.finished

    @contextmanager
    def counted(self, in_flight: int | None = CONCURRENCY) -> Generator[None]:
        """What is asked while the block lasts. `in_flight`: no more than so many questions may be answered a second time."""
        books = self.door.books
        before, known = books.answered.copy(), books.known()
        yield
        after = books.answered.copy()
        again = {key for key in after if before[key] and after[key] > before[key]}
        needless = (again & known) | books.needless
        if needless:
            raise Failed(f"{len(needless)} answers were in the journal and were asked for again: {sorted(needless)[:3]}")
        if in_flight is not None and len(again) > in_flight:
            raise Failed(f"{len(again)} questions were asked again after one kill; {in_flight} were in flight at most")
        self.tally.max_twice_a_kill = max(self.tally.max_twice_a_kill, len(again))

    def end(self) -> Difference:
        """What came of it. Inputs that were quarantined because their process was killed twice are given back first."""
        for _ in range(RETRIED):
            more = quarantined(WorkspaceFolder(self.workspace)) - self.calm.quarantined
            if more <= 0:
                break
            self.tally.retried += more
            self.ended(self.start("--retry-quarantined"))
        difference = compared(self.calm, self.workspace)
        summary = (
            "byte-identical"
            if difference.same_files
            else ", ".join(difference.differing[:5]) or "the same digest, media and shards"
        )
        print(f"round {self.tally.rounds} has ended: {summary}", file=sys.stderr, flush=True)
        self.calm.subject.check(self.workspace)
        self.tally.asked_twice += sum(number - 1 for number in self.door.books.answered.values())
        self.tally.rounds += 1
        self.tally.same_files += difference.same_files
        self.tally.lost += difference.lost
        self.tally.doubled += difference.doubled
        return difference


class _Servers:
    """The server of a subject, which may be killed and started again."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self._stack = subject, ExitStack()

    def start(self) -> str:
        return self._stack.enter_context(self._subject.serving())

    def kill(self) -> None:
        self._stack.close()


@contextmanager
def trial(calm: Calm, workspace: Path, tally: Tally, rng: random.Random) -> Generator[Trial]:
    """A fresh workspace with a server of its own, behind a door."""
    servers = _Servers(calm.subject)
    try:
        with gate(servers.start(), workspace, rng) as door:
            calm.subject.prepare(workspace, door.url)
            yield Trial(calm, workspace, tally, rng, servers, door)
    finally:
        servers.kill()


def runs_still(pid: int) -> bool:
    """Whether a process is there, and not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
