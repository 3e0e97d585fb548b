"""One process in place of a machine: simulated processes take turns by a seed, on a clock of their own, and may be killed.

Each is a thread, and one thread runs at a time: at every call that reaches the machine the seed says whether another goes on.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

STEP_S = 0.001
"""What a call takes on the simulated clock."""


class Crash(BaseException):
    """A simulated process was killed: nothing catches this, and it does nothing any more while it unwinds."""


class BrokenPromise(Exception):
    """What must never be has been seen."""


@dataclass(eq=False)
class Process:
    """A simulated process: its threads and its open files live and die together."""

    name: str
    number: int
    is_dead: bool = False
    descriptors: set[int] = field(default_factory=set[int])
    threads: int = 0
    """Beside the first one."""


@dataclass(eq=False)
class Task:
    """A thread of a process."""

    process: Process
    gate: threading.Lock
    wakes_s: float | None = 0.0
    """When it goes on; None where somebody has to wake it."""


class Scheduler:
    """Who runs, and when."""

    def __init__(self, seed: str, max_steps: int) -> None:
        self._rng, self._max_steps = random.Random(seed), max_steps
        self._switch_share = self._rng.choice((0.02, 0.1, 0.3))
        self.now_s, self.steps, self.is_over, self.is_powered = 0.0, 0, False, True
        self.failure: BaseException | None = None
        self.living: list[Process] = []
        self._processes = 0
        self._tasks: list[Task] = []
        self._trace = hashlib.sha256()
        self._all_done = threading.Lock()
        self._all_done.acquire()
        self.running: Task
        self.before_step: Callable[[], None] = lambda: None
        """Called at each step of the process that runs: faults come here."""
        self.cut_power: Callable[[], None] = lambda: None
        """Called when the power is off and every process is gone."""

    @property
    def trace(self) -> str:
        """A digest of all that happened, in its order."""
        return self._trace.hexdigest()[:16]

    def run(self, jobs: dict[str, Callable[[], None]]) -> None:
        """Run jobs to their ends, beside one another."""
        for name, job in jobs.items():
            self._spawn(Process(name, 0), job)
        self.running = self._next_task()
        self.running.gate.release()
        self._all_done.acquire()
        if self.failure is not None:
            raise self.failure

    def fail(self, error: BaseException) -> None:
        """End all: a promise was broken."""
        self.failure = self.failure or error
        self.is_over = True
        self.kill_all()

    def step(self, what: str) -> None:
        """A call to the machine by the process that runs: it may be its last, and others may go on meanwhile."""
        task = self.running
        self._live(task)
        self.steps += 1
        self.now_s += STEP_S
        self.note(what)
        if self.steps > self._max_steps:
            self.fail(BrokenPromise(f"no end after {self.steps} steps"))
        self.before_step()
        self._live(task)
        if self._rng.random() < self._switch_share:
            self._pass_on(task)
            self._live(task)

    def note(self, what: str) -> None:
        """Add to the trace."""
        self._trace.update(f"{self.running.process.name} {what}\n".encode())

    def sleep(self, seconds: float | None) -> None:
        """Let others go on for some time; with None until `wake`."""
        task = self.running
        self._live(task)
        task.wakes_s = None if seconds is None else self.now_s + seconds
        self._pass_on(task)
        self._live(task)

    def wake(self, task: Task) -> None:
        task.wakes_s = self.now_s if task.wakes_s is None else min(task.wakes_s, self.now_s)

    def draw(self) -> random.Random:
        """The source of what a process meets by chance."""
        return self._rng

    def begin(self, name: str) -> Process:
        """Start a process in the thread that runs, when there is power."""
        while not self.is_powered:
            self._wait(STEP_S)
        self._processes += 1
        process = Process(name, self._processes)
        self.living.append(process)
        self.running.process = process
        self.note("begins")
        return process

    def end(self, process: Process, release: Callable[[Process], None]) -> None:
        """End a process: its threads unwind, and `release` gives back what it held."""
        process.is_dead = True
        while process.threads:
            for task in self._tasks:
                if task.process is process:
                    self.wake(task)
            self._wait(STEP_S)
        release(process)
        self.note("ends")
        self.living.remove(process)
        self.running.process = Process(process.name, 0)
        if not self.is_powered and not self.living:
            self.cut_power()
            self.is_powered = True

    def kill(self, process: Process) -> None:
        process.is_dead = True
        for task in self._tasks:
            if task.process is process:
                self.wake(task)

    def kill_all(self) -> None:
        for process in list(self.living):
            self.kill(process)

    def start_thread(self, function: Callable[[], None]) -> None:
        """Start another thread of the process that runs."""
        process = self.running.process
        process.threads += 1

        def run_and_leave() -> None:
            try:
                function()
            finally:
                process.threads -= 1

        self._spawn(process, run_and_leave)

    def pause(self, seconds: float) -> None:
        """Let time pass between two processes of a job."""
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        task = self.running
        task.wakes_s = self.now_s + seconds
        self._pass_on(task)

    def _live(self, task: Task) -> None:
        if task.process.is_dead:
            raise Crash

    def _spawn(self, process: Process, function: Callable[[], None]) -> None:
        task = Task(process, threading.Lock())
        task.gate.acquire()
        self._tasks.append(task)

        def run_task() -> None:
            task.gate.acquire()
            try:
                function()
            except BaseException as error:
                self.fail(error)
            finally:
                self._tasks.remove(task)
                if self._tasks:
                    self._go_on(self._next_task())
                else:
                    self._all_done.release()

        threading.Thread(target=run_task, daemon=True).start()

    def _pass_on(self, task: Task) -> None:
        """Let a task that was drawn go on, and wait until it is this one's turn."""
        next_task = self._next_task()
        if next_task is not task:
            self._go_on(next_task)
            task.gate.acquire()
        task.wakes_s = 0.0

    def _go_on(self, task: Task) -> None:
        self.running = task
        task.gate.release()

    def _next_task(self) -> Task:
        while True:
            ready = [task for task in self._tasks if task.wakes_s is not None and task.wakes_s <= self.now_s]
            if ready:
                return ready[0] if len(ready) == 1 else self._rng.choice(ready)
            times_s = [task.wakes_s for task in self._tasks if task.wakes_s is not None]
            if times_s:
                self.now_s = min(times_s)
            else:
                self.fail(BrokenPromise("all processes wait for one another"))
