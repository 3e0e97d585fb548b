"""Runs Each stages on a cluster: pieces of batches as Ray tasks, which use killable processes on their machine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from dmforge.curation.contract.stage import Each
from dmforge.curation.engine.executors.batch_results import Advance, BatchInProgress, Deferred, FinishedBatch, InputRange
from dmforge.curation.engine.executors.killable_pool import KillablePool
from dmforge.curation.engine.executors.ray.cluster import Call, Cluster, WorkerLost, WorkerResources
from dmforge.curation.engine.executors.ray.payloads import LOST, MAX_LOSSES, RemoteStage, ReturnedResults, SentInputs
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Item, Record

PIECE_S = 2.0
"""A task is about this much work: far more than the cost of sending it, and little to lose with a machine."""
MAX_PIECE_INPUTS = 4096
TASKS_PER_CORE = 2
"""Tasks in flight for each core: one at work, and one waiting."""


class EachTasks:
    """Runs one Each stage."""

    def __init__(self, cluster: Cluster, stage: Each[Item, Record], workspace: WorkspaceFolder) -> None:
        # a task has one core, and so one killable process
        single_worker_stage = type(stage)(stage.config.model_copy(update={"workers": 1}))
        self._cluster, self._max_workers = cluster, stage.config.workers
        self._work = cluster.share(RemoteStage(single_worker_stage, str(workspace.root), stage.variant))
        self._spans: deque[InputRange] = deque()
        self._in_flight: dict[Call, InputRange] = {}
        self._seconds_per_input = PIECE_S  # seconds an input takes; assumed slow until seen to be quick

    def execute(self, batches: Iterator[WorkBatch], advance: Advance) -> Iterator[FinishedBatch]:
        """Yield batches as they are finished. No more are open than the cluster can work on."""
        open_count, has_more = 0, True
        while True:
            max_tasks = TASKS_PER_CORE * max(
                1, min(self._cluster.fits(WorkerResources()), self._max_workers or MAX_PIECE_INPUTS)
            )
            while has_more and open_count < max_tasks + 2 and len(self._spans) < max_tasks:
                batch = next(batches, None)
                if batch is None:
                    has_more = False
                    break
                open_count += 1
                self._spans.append(InputRange(BatchInProgress.of(batch), 0, batch.items.num_rows))
            if not open_count:
                return
            while self._spans and len(self._in_flight) < max_tasks:
                span = self._next_span()
                sent = SentInputs.of(span.underway.batch, span.start, span.stop)
                self._in_flight[self._cluster.call(work_on, WorkerResources(), self._work, sent)] = span
            for call in self._cluster.wait(self._in_flight):
                underway = self._take_result(call, self._in_flight.pop(call), advance)
                if not underway.inputs_left:
                    open_count -= 1
                    yield underway.finished()

    def _next_span(self) -> InputRange:
        span = self._spans.popleft()
        size = max(1, min(MAX_PIECE_INPUTS, int(PIECE_S / self._seconds_per_input)))
        if span.stop - span.start <= size:
            return span
        self._spans.appendleft(span.part(span.start + size, span.stop))
        return span.part(span.start, span.start + size)

    def _take_result(self, call: Call, span: InputRange, advance: Advance) -> BatchInProgress:
        underway, input_count = span.underway, span.stop - span.start
        try:
            back: ReturnedResults = self._cluster.result(call)
        except WorkerLost:
            if span.attempt < MAX_LOSSES:
                self._spans.appendleft(span.again())
                return underway
            back = ReturnedResults(None, tuple(Deferred(key, LOST) for key in underway.keys[span.start : span.stop]))
        else:
            self._seconds_per_input = 0.5 * self._seconds_per_input + 0.5 * max(back.took_s / input_count, 1e-6)
        settled = back.rows()
        underway.pieces += [settled] if settled is not None else []
        underway.deferred += back.deferred
        underway.inputs_left -= input_count
        advance(input_count)
        return underway


_pools: dict[Id, KillablePool] = {}
"""In a worker: the pool of its current stage. It outlives a task, so that processes are reused."""


def work_on(work: RemoteStage, sent: SentInputs) -> ReturnedResults:
    """In a worker: process some inputs."""
    began_s = time.monotonic()
    pool = _pool(work)
    try:
        (finished,) = pool.execute(iter([sent.batch()]), lambda _: None)
    except BaseException:
        _close_all()
        raise
    return ReturnedResults.of(finished, time.monotonic() - began_s)


def _pool(work: RemoteStage) -> KillablePool:
    if work.variant not in _pools:
        _close_all()
        assert isinstance(work.stage, Each)
        _pools[work.variant] = KillablePool(work.stage, work.workspace())
    return _pools[work.variant]


def _close_all() -> None:
    while _pools:
        _pools.popitem()[1].__exit__(None, None, None)
