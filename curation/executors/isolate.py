"""A pool of killable processes: an input that hangs, crashes, or eats time or memory takes down itself and nothing else.

What is ended and what becomes of it (each input gets a second try in a fresh process first):

    over its CPU seconds, over its memory, dead, or raising     quarantined
    standing still: no CPU used while the machine was free      quarantined
    still computing at the wall-clock backstop                  pending: the machine was slow, the input may be fine
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import TracebackType

import pyarrow as pa

from dmforge.curation.executors.finished import Advance, Deferred, Finished
from dmforge.curation.executors.worker import IDLE, Chunk, Fault, Reply, Unfit, serve
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.lake.workspace import Workspace
from dmforge.curation.settled import Key, Quarantined, Settled, from_bytes, joined, settle
from dmforge.curation.stage import Each, EachConfig
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.records import Record

TICK_S = 0.1
"""How often the processes are looked at, and the heartbeat that shows whether the machine was free."""
CHUNK_S = 0.2
"""Inputs travel in chunks of about this much work: fewer messages where they are quick, one by one where they are slow."""
MAX_CHUNK = 1024
STILL_SHARE = 0.01
"""A process that uses less of a core than this stands still. A starved one on a loaded machine gets more."""
TRIES = 2
ALIKE = 20
"""So many first inputs failing with one and the same exception are a mistake in the stage, not in the data."""


@dataclass
class _Opened:
    """A batch on its way through the pool."""

    batch: WorkBatch
    keys: list[Key]
    left: int
    pieces: list[Settled] = field(default_factory=list[Settled])
    deferred: list[Deferred] = field(default_factory=list[Deferred])


@dataclass(frozen=True)
class _Span:
    """A run of a batch's inputs."""

    opened: _Opened
    start: int
    stop: int
    attempt: int = 1


@dataclass
class _Watch:
    """What was seen of a process since it began the input it is at."""

    index: int
    since_s: float
    cpu_at_start_s: float
    cpu_s: float
    still_s: float = 0.0


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    at: list[int]
    span: _Span | None = None
    watch: _Watch | None = None


@dataclass(frozen=True)
class _Verdict:
    """Why a process was ended."""

    reason: str
    detail: str
    computing: bool = False


class KillablePool:
    """Processes for one Each stage. A context manager: on the way out, all of them are gone."""

    def __init__(self, stage: Each[Record, Record], workspace: Workspace) -> None:
        self._stage, self._limits, self._root = stage, stage.config, str(workspace.root)
        self._size = self._limits.workers or os.cpu_count() or 1
        self._workers: list[_Worker] = []
        self._spans: deque[_Span] = deque()
        self._ready: deque[_Opened] = deque()
        self._pace_s = CHUNK_S  # seconds an input takes; assumed slow until seen to be quick
        self._looked_s = time.monotonic()
        self._first_faults: Counter[str] = Counter()
        self._any_fit = False

    def __enter__(self) -> KillablePool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()

    def execute(self, batches: Iterator[WorkBatch], advance: Advance) -> Iterator[Finished]:
        """Batches as they are finished. A few more are open than there are processes, so that a slow input stalls none."""
        opened, more = 0, True
        while True:
            while more and opened < self._size + 2:
                batch = next(batches, None)
                if batch is None:
                    more = False
                    break
                opened += 1
                self._spans.append(_Span(_Opened(batch, batch.keys(), batch.items.num_rows), 0, batch.items.num_rows))
            if not opened:
                return
            self._hand_out()
            self._listen(advance)
            self._patrol(advance)
            while self._ready:
                opened -= 1
                yield _finished(self._ready.popleft())

    def _hand_out(self) -> None:
        while self._spans:
            worker = next((worker for worker in self._workers if worker.span is None), None)
            if worker is None:
                if len(self._workers) == self._size:
                    return
                worker = self._hire()
            span = self._spans.popleft()
            size = max(1, min(MAX_CHUNK, int(CHUNK_S / self._pace_s)))
            if span.stop - span.start > size:
                self._spans.appendleft(_Span(span.opened, span.start + size, span.stop, span.attempt))
                span = _Span(span.opened, span.start, span.start + size, span.attempt)
            worker.at[0] = IDLE
            worker.span, worker.watch = span, None
            try:
                worker.connection.send(_chunk(span))
            except OSError:  # it died while it was idle: its sentinel tells, and nobody is to blame
                continue

    def _hire(self) -> _Worker:
        context = _context()
        ours, theirs = context.Pipe()
        at = context.RawArray("q", [IDLE])
        arguments = (theirs, self._stage, self._root, self._limits.memory_mb, at)
        process = context.Process(target=serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours, at)  # pyright: ignore[reportArgumentType] (a shared array behaves as a list of one)
        self._workers.append(worker)
        return worker

    def _listen(self, advance: Advance) -> None:
        by_connection = {worker.connection: worker for worker in self._workers if worker.span is not None}
        for connection in wait(list(by_connection), TICK_S):
            worker = by_connection[connection]  # pyright: ignore[reportArgumentType] (only what was given is returned)
            try:
                reply = worker.connection.recv()
            except (EOFError, OSError):
                self._bury(worker, None, advance)
                continue
            if isinstance(reply, Unfit):
                raise DmforgeError(f"stage {self._stage.name!r} could not be opened: {reply.message}")
            self._take(worker, reply, advance)

    def _take(self, worker: _Worker, reply: Reply, advance: Advance) -> None:
        span, worker.span = worker.span, None
        assert span is not None
        number = span.stop - span.start
        self._pace_s = 0.5 * self._pace_s + 0.5 * max(reply.took_s / number, 1e-6)
        for fault in reply.faults:
            self._judge_fault(
                _Span(span.opened, span.start + fault.index, span.start + fault.index + 1, span.attempt), fault, advance
            )
        if number > len(reply.faults):
            self._any_fit = True
            self._settle(span.opened, from_bytes(reply.settled), number - len(reply.faults), advance)

    def _patrol(self, advance: Advance) -> None:
        """Look at each process, at most once a tick."""
        now = time.monotonic()
        elapsed, on_time = now - self._looked_s, now - self._looked_s < 3 * TICK_S
        if elapsed < TICK_S:
            return
        self._looked_s = now
        for worker in [worker for worker in self._workers if worker.span is not None]:
            index = worker.at[0]
            cpu_s = _cpu_seconds(worker.process.pid)
            if index == IDLE or cpu_s is None:
                continue
            if worker.watch is None or worker.watch.index != index:
                worker.watch = _Watch(index, now, cpu_s, cpu_s)
                continue
            watch = worker.watch
            if cpu_s - watch.cpu_s >= STILL_SHARE * elapsed:
                watch.still_s = 0.0
            elif on_time:  # our own heartbeat came on time, so the machine was free: the process could have worked
                watch.still_s += elapsed
            watch.cpu_s = cpu_s
            verdict = _verdict(watch, now, self._limits)
            if verdict is not None:
                worker.process.kill()
                worker.process.join()
                self._bury(worker, verdict if worker.at[0] == index else None, advance)

    def _bury(self, worker: _Worker, verdict: _Verdict | None, advance: Advance) -> None:
        """A process is gone: blame the input that it was at, and give the others back."""
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        span, index = worker.span, worker.at[0]
        if span is None:
            return
        if verdict is None:
            verdict = _Verdict("died", _cause_of_death(worker.process.exitcode))
        culprit = span.start + index if index != IDLE else span.start if span.stop - span.start == 1 else None
        if culprit is None:  # between inputs, or while packing results: ask one by one who it was
            self._spans.extendleft(_Span(span.opened, i, i + 1, span.attempt) for i in reversed(range(span.start, span.stop)))
            return
        rest = [_Span(span.opened, culprit + 1, span.stop, span.attempt), _Span(span.opened, span.start, culprit, span.attempt)]
        self._spans.extendleft(part for part in rest if part.stop > part.start)
        at_fault = _Span(span.opened, culprit, culprit + 1, span.attempt)
        if verdict.computing:
            self._defer(at_fault, f"{verdict.reason}: {verdict.detail}", advance)
        else:
            self._fail(at_fault, verdict.reason, verdict.detail, advance)

    def _judge_fault(self, span: _Span, fault: Fault, advance: Advance) -> None:
        if fault.transient:
            self._defer(span, fault.detail, advance)
            return
        self._first_faults[fault.reason] += span.attempt == 1 and fault.reason != "memory"
        if not self._any_fit and self._first_faults[fault.reason] >= ALIKE:
            raise DmforgeError(
                f"the first {ALIKE} inputs of stage {self._stage.name!r} all failed alike: {fault.reason}: {fault.detail}",
                mend="this looks like a mistake in the stage or its config, not in the data; nothing was quarantined for it",
            )
        self._fail(span, fault.reason, fault.detail, advance)

    def _fail(self, span: _Span, reason: str, detail: str, advance: Advance) -> None:
        if span.attempt < TRIES:
            self._spans.append(_Span(span.opened, span.start, span.stop, span.attempt + 1))
            return
        key = span.opened.keys[span.start]
        self._settle(
            span.opened, settle(self._stage.origin, [key], [Quarantined(reason, detail)], self._stage.makes), 1, advance
        )

    def _defer(self, span: _Span, reason: str, advance: Advance) -> None:
        span.opened.deferred.append(Deferred(span.opened.keys[span.start], reason))
        self._count(span.opened, 1, advance)

    def _settle(self, opened: _Opened, piece: Settled, number: int, advance: Advance) -> None:
        opened.pieces.append(piece)
        self._count(opened, number, advance)

    def _count(self, opened: _Opened, number: int, advance: Advance) -> None:
        advance(number)
        opened.left -= number
        if not opened.left:
            self._ready.append(opened)


def _verdict(watch: _Watch, now: float, limits: EachConfig) -> _Verdict | None:
    """Whether a process has to be ended. The details name the limit, not the measurement: outcomes must not vary."""
    if watch.cpu_s - watch.cpu_at_start_s > limits.cpu_s:
        return _Verdict("cpu", f"over its limit of {limits.cpu_s:g} CPU seconds")
    if watch.still_s > limits.still_s:
        return _Verdict("still", f"no CPU used for {limits.still_s:g} s on a free machine")
    if now - watch.since_s > limits.wall_s:
        return _Verdict("backstop", f"still computing after {limits.wall_s:g} s", computing=True)
    return None


def _finished(opened: _Opened) -> Finished:
    return Finished(joined(opened.pieces, opened.keys) if opened.pieces else None, tuple(opened.deferred))


def _chunk(span: _Span) -> Chunk:
    rows = span.opened.batch.items.slice(span.start, span.stop - span.start)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return Chunk(sink.getvalue().to_pybytes(), [key.video for key in span.opened.keys[span.start : span.stop]])


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _cpu_seconds(pid: int | None) -> float | None:
    """CPU time that a process has used, or None where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            user, system = stat.read().rpartition(b")")[2].split()[11:13]
    except (OSError, ValueError):
        return None
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@cache
def _context() -> ForkServerContext:
    """Forks from a clean server: a replacement for a killed process is there in milliseconds, with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "dmforge.curation.executors.warm"])
    return context
