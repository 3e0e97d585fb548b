"""A pool of killable processes: an input that hangs, crashes, or uses too much time or memory fails alone.

When a process is ended, and the outcome of its input (each input gets a second try first):

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
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import TracebackType

from dmforge.curation.contract.stage import Each
from dmforge.curation.contract.stage_results import Quarantined, StageResults, from_bytes, settle
from dmforge.curation.engine.executors.batch_results import Advance, BatchInProgress, Deferred, FinishedBatch
from dmforge.curation.engine.executors.input_queue import InputQueue, InputRange
from dmforge.curation.engine.executors.killable_worker import (
    IDLE,
    MEMORY,
    ChunkResult,
    InputChunk,
    InputFault,
    UnusableStage,
    WorkerReady,
    serve,
)
from dmforge.curation.engine.executors.process_watch import TICK_S, EndReason, ProcessWatch, cpu_seconds
from dmforge.curation.io.arrow_stream import stream_of
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.records import Item, Record

CHUNK_S = 0.2
"""Inputs are sent in chunks of about this much work: fewer messages where they are quick, one by one where they are slow."""
MAX_CHUNK = 1024
TRIES = 2
MAX_LOSSES = 100
MAX_ALIKE_FAULTS = 20
"""When this many first inputs fail for the same reason, the mistake is in the stage or its limits, not in the data."""


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    progress: list[int]
    is_open: bool = False
    span: InputRange | None = None
    watch: ProcessWatch | None = None


class KillablePool:
    """The killable processes of one Each stage. As a context manager, it ends all of them on exit."""

    def __init__(self, stage: Each[Item, Record], workspace: WorkspaceFolder) -> None:
        self._stage, self._limits, self._workspace = stage, stage.config, workspace
        self._size = self._limits.workers or os.cpu_count() or 1
        self._workers: list[_Worker] = []
        self._waiting = InputQueue(CHUNK_S, MAX_CHUNK)
        self._ready: deque[BatchInProgress] = deque()
        self._last_patrol_s = time.monotonic()
        self._first_faults: Counter[str] = Counter()
        self._any_succeeded = False
        self._losses = 0

    def __enter__(self) -> KillablePool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()

    def execute(self, batches: Iterator[WorkBatch], advance: Advance) -> Iterator[FinishedBatch]:
        """Yield batches as they are finished. A few more are open than there are processes, so a slow input stalls none."""
        open_batch_count = 0
        while True:
            while open_batch_count < self._size + 2 and (batch := next(batches, None)) is not None:
                open_batch_count += 1
                self._waiting.add_batch(batch)
            if not open_batch_count:
                return
            self._send_chunks()
            self._receive(advance)
            self._patrol(advance)
            while self._ready:
                open_batch_count -= 1
                yield self._ready.popleft().finished()

    def _send_chunks(self) -> None:
        while self._waiting and (worker := self._idle_worker()) is not None:
            worker.progress[0] = IDLE
            worker.span, worker.watch = self._waiting.take(), None
            try:
                worker.connection.send(_chunk(worker.span))
            except OSError:
                self._give_back(worker)
        while self._waiting and len(self._workers) < self._size:
            self._start_worker()

    def _idle_worker(self) -> _Worker | None:
        # only a process that reported to be open: a large message to one that hangs in `open` would block this process, too
        return next((worker for worker in self._workers if worker.is_open and worker.span is None), None)

    def _start_worker(self) -> None:
        fork_context = _context()
        driver_end, worker_end = fork_context.Pipe()
        progress = fork_context.RawArray("q", [IDLE, 0])
        serve_arguments = (worker_end, self._stage, self._workspace, self._limits.memory_mb, progress)
        process = fork_context.Process(target=serve, args=serve_arguments, daemon=True)
        try:
            process.start()
        except (EOFError, ConnectionError):  # the fork server was killed just now: another one starts with the next process
            driver_end.close()
            self._count_loss()
            return
        finally:
            worker_end.close()
        # a shared array behaves as a list
        self._workers.append(_Worker(process, driver_end, progress))  # pyright: ignore[reportArgumentType]

    def _receive(self, advance: Advance) -> None:
        worker_by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(worker_by_connection), TICK_S):
            worker = worker_by_connection[connection]  # pyright: ignore[reportArgumentType] (only what was given is returned)
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                self._handle_death(worker, advance)
                continue
            match message:
                case WorkerReady():
                    worker.is_open = True
                case UnusableStage():
                    raise message.error or DmforgeError(f"stage {self._stage.name!r} can't be run: {message.message}")
                case _:
                    self._take_reply(worker, message, advance)

    def _take_reply(self, worker: _Worker, reply: ChunkResult, advance: Advance) -> None:
        input_range, worker.span = worker.span, None
        assert input_range is not None
        input_count = len(input_range)
        self._waiting.note_time(reply.took_s, input_count)
        for input_fault in reply.faults:
            input_position = input_range.start + input_fault.index
            self._judge_fault(input_range.part(input_position, input_position + 1), input_fault, advance)
        if any(input_fault.reason == MEMORY for input_fault in reply.faults):
            worker.process.kill()
            self._remove(worker)
        if input_count > len(reply.faults):
            self._any_succeeded = True
            self._settle(input_range.underway, from_bytes(reply.settled), input_count - len(reply.faults), advance)

    def _patrol(self, advance: Advance) -> None:
        """Check each process for hangs and limits, at most once a tick."""
        now_s = time.monotonic()
        elapsed_s = now_s - self._last_patrol_s
        if elapsed_s < TICK_S:
            return
        self._last_patrol_s = now_s
        for worker in [worker for worker in self._workers if worker.span is not None or not worker.is_open]:
            (input_index, progress_step), cpu_s = worker.progress[:], cpu_seconds(worker.process.pid)
            if cpu_s is None:
                continue  # it is dead: the next receiving will tell
            if worker.watch is None or worker.watch.progress != (input_index, progress_step):
                worker.watch = ProcessWatch((input_index, progress_step), now_s, cpu_s)
                continue
            end_reason = worker.watch.look(now_s, cpu_s, elapsed_s, self._limits)
            if end_reason is None:
                continue
            if input_index == IDLE:
                raise DmforgeError(f"stage {self._stage.name!r} never came to its first input: {end_reason.detail}")
            worker.process.kill()
            input_range = self._remove_with_span(worker)
            if worker.progress[0] == input_index:
                self._blame(input_range, input_index, end_reason, advance)
            else:  # it went on to another input just before it was killed: this one was in time, and nobody is to blame
                self._waiting.give_back(input_range)

    def _handle_death(self, worker: _Worker, advance: Advance) -> None:
        """Handle a process that died by itself."""
        worker.process.join()
        death_cause = _cause_of_death(worker.process.exitcode)
        if not worker.is_open:
            raise DmforgeError(
                f"stage {self._stage.name!r} can't be run: its process died before the first input ({death_cause})"
            )
        if worker.span is None:
            self._remove(worker)
        elif worker.progress[0] == IDLE:
            self._give_back(worker)
        else:
            input_index = worker.progress[0]
            self._blame(self._remove_with_span(worker), input_index, EndReason("died", death_cause), advance)

    def _give_back(self, worker: _Worker) -> None:
        """Give back the inputs of a process that died between inputs; an error where that happens too often."""
        self._waiting.give_back(self._remove_with_span(worker))
        self._count_loss()

    def _count_loss(self) -> None:
        self._losses += 1
        if self._losses > MAX_LOSSES:
            raise DmforgeError(f"processes of stage {self._stage.name!r} keep dying between inputs: something else kills them")

    def _remove_with_span(self, worker: _Worker) -> InputRange:
        """Remove a process that is gone, and return what it was working on."""
        self._remove(worker)
        assert worker.span is not None
        return worker.span

    def _remove(self, worker: _Worker) -> None:
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)

    def _blame(self, input_range: InputRange, index_in_range: int, end_reason: EndReason, advance: Advance) -> None:
        """Fail or defer the input that brought its process down, and give back the others of its span."""
        culprit_position = input_range.start + index_in_range
        self._waiting.give_back(
            input_range.part(culprit_position + 1, input_range.stop), input_range.part(input_range.start, culprit_position)
        )
        culprit_range = input_range.part(culprit_position, culprit_position + 1)
        if end_reason.computing:
            self._defer(culprit_range, f"{end_reason.reason}: {end_reason.detail}", advance)
        else:
            self._fail(culprit_range, end_reason.reason, end_reason.detail, advance)

    def _judge_fault(self, input_range: InputRange, input_fault: InputFault, advance: Advance) -> None:
        if input_fault.transient:
            self._defer(input_range, input_fault.detail, advance)
        else:
            self._fail(input_range, input_fault.reason, input_fault.detail, advance)

    def _fail(self, input_range: InputRange, reason: str, detail: str, advance: Advance) -> None:
        if input_range.attempt < TRIES:
            self._note_first_fault(reason, detail)
            self._waiting.postpone(input_range.again())
            return
        input_key = input_range.underway.keys[input_range.start]
        self._settle(
            input_range.underway,
            settle(self._stage.origin, [input_key], [Quarantined(reason, detail)], self._stage.makes),
            1,
            advance,
        )

    def _note_first_fault(self, reason: str, detail: str) -> None:
        self._first_faults[reason] += 1
        if not self._any_succeeded and self._first_faults[reason] >= MAX_ALIKE_FAULTS:
            raise DmforgeError(
                f"the first {MAX_ALIKE_FAULTS} inputs of stage {self._stage.name!r} all failed alike: {reason}: {detail}",
                hint="this looks like a mistake in the stage or its limits, not in the data; mend it and run again, "
                "with --retry-quarantined for what was quarantined before it was noticed",
            )

    def _defer(self, input_range: InputRange, reason: str, advance: Advance) -> None:
        input_range.underway.deferred.append(Deferred(input_range.underway.keys[input_range.start], reason))
        self._count(input_range.underway, 1, advance)

    def _settle(
        self, batch_in_progress: BatchInProgress, results_piece: StageResults, input_count: int, advance: Advance
    ) -> None:
        batch_in_progress.pieces.append(results_piece)
        self._count(batch_in_progress, input_count, advance)

    def _count(self, batch_in_progress: BatchInProgress, input_count: int, advance: Advance) -> None:
        advance(input_count)
        batch_in_progress.inputs_left -= input_count
        if not batch_in_progress.inputs_left:
            self._ready.append(batch_in_progress)


def _chunk(input_range: InputRange) -> InputChunk:
    input_rows = input_range.underway.batch.items.slice(input_range.start, len(input_range))
    return InputChunk(
        stream_of(input_rows).to_pybytes(),
        [input_key.video for input_key in input_range.underway.keys[input_range.start : input_range.stop]],
    )


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


@cache
def _context() -> ForkServerContext:
    """A context that forks from a clean server: replacing a killed process takes milliseconds, with everything imported."""
    fork_context = multiprocessing.get_context("forkserver")
    fork_context.set_forkserver_preload(["__main__", "dmforge.curation.engine.executors.fork_preload"])
    return fork_context
