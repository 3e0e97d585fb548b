"""One seed from its plan to its verdict: the work is done under faults, then calmly to its end, then the power is cut again."""

from __future__ import annotations

import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb

from dmforge.commands import run, standing
from dmforge.curation.contract.collective import StageCounts
from dmforge.curation.io import machine
from dmforge.curation.lake import compaction
from dmforge.curation.lake.commits import Commit, CommitDraft, Lake
from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.lake.logical_digest import digest_of_all
from dmforge.curation.workspace_folder import WorkspaceFolder, WorkspaceHeld
from dmforge.schemas.errors import DmforgeError, LakeError
from dmforge.schemas.ids import Id, show
from tests.simulation import promises as promised
from tests.simulation import shared_database
from tests.simulation.forgetful_disk import ForgetfulDisk
from tests.simulation.plans import DISK_FAULTS, Plan
from tests.simulation.planted import planted
from tests.simulation.promises import LakePromises
from tests.simulation.scheduler import BrokenPromise, Crash, Scheduler
from tests.simulation.simulated_machine import SimulatedMachine
from tests.simulation.simulated_teacher import SimulatedTeacher
from tests.simulation.work import Attempt, Work, write_workspace

MAX_STEPS = 60_000
RESTART_S = 5.0
"""The longest pause before a command is started again."""
LONGEST_STALL_S = 120.0
"""How long a process may stand still, as one that is swapped out."""
SMALL_COMMITS = 5
"""From so many on they are joined: a small lake is to see it too."""
CALM_ATTEMPTS = 3
MEMORY = Path("/dev/shm")


@dataclass
class Verdict:
    """What came of a seed."""

    plan: Plan
    trace: str = ""
    steps: int = 0
    simulated_s: float = 0.0
    met: Counter[str] = field(default_factory=Counter[str])
    """Faults that befell something."""
    checks: int = 0
    failure: str = ""
    """Of the promise that was broken, and where."""


class Simulation:
    """A machine with a workspace, and what befalls it."""

    def __init__(self, plan: Plan, root: Path, defect: str = "") -> None:
        self.plan, self._root, self._defect = plan, root, defect
        self.scheduler = Scheduler(f"turns {plan.seed}", MAX_STEPS)
        self.teacher = SimulatedTeacher(self.scheduler, plan.teacher_faults)
        self._faults = list(plan.faults)
        self._met = Counter[str]()
        self._flipped: set[str] = set()
        self._has_others = False
        """Whether another process may hold the workspace."""
        write_workspace(root / "ws", plan.tasks, plan.batch_items)
        self.machine = SimulatedMachine(self.scheduler, ForgetfulDisk(root), self.teacher.transport)
        self.promises = LakePromises(root / "ws", self.machine)
        self.work = Work(root / "ws", self.scheduler, self.teacher, self.promises, plan.tasks)
        self.machine.after_change, self.machine.switch_off = self.promises.after_change, self._switch_off
        self.scheduler.before_step = self._befall
        self.scheduler.cut_power = self._cut_power

    def verdict(self, expected_digest: str) -> Verdict:
        """Run to the end. What is seen on the way and must not be is in the verdict."""
        self._expected_digest = expected_digest
        verdict = Verdict(self.plan)
        try:
            with self._installed():
                attempts = self.work.attempts(self.plan.ranks, self.plan.jobs, self._root / "other")
                self._has_others = len(attempts) > 1
                self.scheduler.run({name: self._job(name, attempt) for name, attempt in attempts.items()})
                self._has_others = False
                self._faults.clear()
                self.machine.armed.clear()
                self.teacher.end_faults()
                self._mend()
                self.scheduler.run({"calm": self._calm})
                verdict.trace = self.scheduler.trace
        except Exception as error:
            verdict.failure = "".join(traceback.format_exception(error, limit=-12))
        verdict.steps, verdict.simulated_s = self.scheduler.steps, self.scheduler.now_s
        verdict.met = self._met + self.machine.met + self.teacher.met
        verdict.checks = self.promises.checks
        return verdict

    def digest(self) -> str:
        """The digest that the work ends with, undisturbed."""
        with self._installed():
            attempts = self.work.attempts(0, self.plan.jobs, self._root)
            for name in reversed(attempts):
                self.scheduler.run({name: self._job(name, attempts[name])})
        return digest_of_all(run.digest(WorkspaceFolder(self._root / "ws")))

    def _job(self, name: str, attempt: Attempt) -> Callable[[], None]:
        def keep_at_it() -> None:
            is_done = False
            while not is_done and not self.scheduler.is_over:
                is_done = self._attempt(name, attempt)
                if not is_done:
                    self.scheduler.pause(self.scheduler.draw().uniform(0, RESTART_S))

        return keep_at_it

    def _attempt(self, name: str, attempt: Attempt) -> bool:
        """Start a command; whether it has done all. An error that nothing explains breaks a promise."""
        process, faults_before = self.scheduler.begin(name), self.machine.refusals
        try:
            return attempt() and not process.is_dead
        except BaseException as error:
            if process.is_dead or isinstance(error, Crash):
                return False
            if isinstance(error, DmforgeError) and self._is_explained(error, faults_before):
                return False
            if isinstance(error, BrokenPromise):
                raise
            raise BrokenPromise(f"{name} ended with {type(error).__name__}: {error}") from error
        finally:
            self.scheduler.end(process, self.machine.release)

    def _is_explained(self, error: DmforgeError, faults_before: int) -> bool:
        if isinstance(error, LakeError) and any(path in str(error) for path in self._flipped):
            self._mend()
            return True
        if isinstance(error, WorkspaceHeld):
            return self._has_others
        return self.machine.refusals > faults_before or "other ranks are at work" in str(error)

    def _calm(self) -> None:
        """Without faults one command ends the work. Whatever it says then survives a power cut, and nothing is left to do."""
        attempts = 0
        while not self._attempt("calm", self.work.drive):
            attempts += 1
            if attempts == CALM_ATTEMPTS:
                raise BrokenPromise(f"work is left after {attempts} calm runs: {standing.status(self._workspace)}")
        self._switch_off()
        self.scheduler.pause(RESTART_S)
        self._attempt("last look", self._last_look)

    def _last_look(self) -> bool:
        answered = self.teacher.answered.copy()
        counts: Mapping[str, StageCounts] = standing.status(self._workspace)
        if any(count.pending for count in counts.values()):
            raise BrokenPromise(f"after a power cut work is left that was said to be done: {counts}")
        if digest_of_all(run.digest(self._workspace)) != self._expected_digest:
            raise BrokenPromise("the lake differs from that of an undisturbed run")
        self.work.drive()
        self.promises.check()
        if self.teacher.answered != answered:
            raise BrokenPromise("a run with nothing to do asked")
        if leftovers := promised.no_leftovers(self._root / "ws"):
            raise BrokenPromise(f"unfinished files are left: {leftovers}")
        return True

    @property
    def _workspace(self) -> WorkspaceFolder:
        return WorkspaceFolder(self._root / "ws")

    # faults

    def _befall(self) -> None:
        while self._faults and self._faults[0].at_step <= self.scheduler.steps:
            fault = self._faults.pop(0)
            self.scheduler.note(fault.kind)
            if fault.kind == "kill":
                self._met["kill"] += 1
                self.scheduler.kill(self.scheduler.running.process)
            elif fault.kind == "power cut":
                self._cut_now_or_soon()
            elif fault.kind == "stall":
                self._met["stall"] += 1
                self.scheduler.sleep(self.scheduler.draw().uniform(0, LONGEST_STALL_S))
            elif fault.kind == "full":
                self.machine.fill_disk()
            elif fault.kind in DISK_FAULTS:
                self.machine.armed.append(fault.kind)
            else:
                self._flip()

    def _cut_now_or_soon(self) -> None:
        """Cut the power at any call, or at the next fsync: there is most to be lost."""
        if self.scheduler.draw().random() < 0.5:
            self.machine.armed.append("power cut")
        else:
            self._met["power cut"] += 1
            self._switch_off()

    def _switch_off(self) -> None:
        self.scheduler.is_powered = False
        self.scheduler.kill_all()
        if not self.scheduler.living:
            self._cut_power()
            self.scheduler.is_powered = True

    def _cut_power(self) -> None:
        self._mend()
        self.machine.cut_power(self.scheduler.draw())
        promised.forget_caches()
        self.promises.check()

    def _flip(self) -> None:
        """Flip a bit of a part."""
        parts = sorted((self._root / "ws" / "lake").glob("*/part-*.parquet"))
        if parts:
            self._met["flip"] += 1
            path, rng = self.scheduler.draw().choice(parts), self.scheduler.draw()
            content = path.read_bytes()
            self.promises.rotten.setdefault(path, content)
            self._flipped.add(str(path))
            bit = rng.randrange(8 * len(content))
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            self.machine.disk.rot(path, bytes(flipped))

    def _mend(self) -> None:
        """Bring files back from a backup."""
        for path, content in self.promises.rotten.items():
            if path.exists():
                self.machine.disk.rot(path, content)
        self.promises.rotten.clear()

    # observation

    @contextmanager
    def _installed(self) -> Generator[None]:
        """Product code, with a defect if there is one, runs on the simulated machine."""
        with planted(self._defect), self._observed():
            yield

    @contextmanager
    def _observed(self) -> Generator[None]:
        """Product code runs on the simulated machine, and what it acknowledges is noted."""
        publish, answer = Lake.publish, Journal.answer

        def noted_publish(lake: Lake, draft: CommitDraft, chunks_by_table: Any) -> Commit:
            commit = publish(lake, draft, chunks_by_table)
            self.promises.published(commit)
            return commit

        async def noted_answer(
            journal: Journal, key: Id, video: Id, ask: Callable[[], Awaitable[Answer]], token_limit: int | None = None
        ) -> Answer:
            stored = await answer(journal, key, video, ask, token_limit)
            self.teacher.acknowledge(show("ask", key), video)
            return stored

        def quiet_hook(left: sys.UnraisableHookArgs) -> None:
            if left.exc_type is not Crash:
                hook(left)

        hook = sys.unraisablehook
        with (
            mock.patch.object(machine, "current", self.machine),
            mock.patch.object(Lake, "publish", noted_publish),
            mock.patch.object(Journal, "answer", noted_answer),
            mock.patch.object(compaction, "MANY", SMALL_COMMITS),
            mock.patch.object(duckdb, "connect", shared_database.connect),
            mock.patch.object(sys, "unraisablehook", quiet_hook),
        ):
            yield


def simulate(plan: Plan, defect: str = "") -> Verdict:
    """The verdict on a plan, with a defect if one is planted."""
    expected_digest = _expected(plan.tasks, plan.batch_items, "takedown" in plan.jobs)
    with _folder() as root:
        if "merge" in plan.jobs:
            shutil.copytree(_finished(plan.tasks, plan.batch_items), root / "other")
        return Simulation(plan, root, defect).verdict(expected_digest)


@contextmanager
def _folder() -> Generator[Path]:
    """A folder in memory, where there is one."""
    with tempfile.TemporaryDirectory(prefix="dmforge-simulation-", dir=MEMORY if MEMORY.is_dir() else None) as name:
        promised.forget_caches()
        yield Path(name)


@cache
def _expected(tasks: int, batch_items: int, is_taken_down: bool) -> str:
    plan = Plan(0, tasks, batch_items, 0, ("takedown",) if is_taken_down else (), (), 0.0)
    with _folder() as root:
        return Simulation(plan, root).digest()


@cache
def _finished(tasks: int, batch_items: int) -> Path:
    """A workspace in which the work is done, to be merged."""
    root = Path(tempfile.mkdtemp(prefix="dmforge-finished-", dir=MEMORY if MEMORY.is_dir() else None))
    Simulation(Plan(0, tasks, batch_items, 0, (), (), 0.0), root).digest()
    return root / "ws"
