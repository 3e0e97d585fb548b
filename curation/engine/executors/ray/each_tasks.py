"""Runs Each stages on a cluster: pieces of batches as Ray tasks, which use killable processes on their machine."""

from __future__ import annotations

import time
from collections.abc import Iterator

from dmforge.curation.contract.stage import Each
from dmforge.curation.engine.executors.batch_results import Advance, BatchInProgress, Deferred, FinishedBatch
from dmforge.curation.engine.executors.input_queue import InputQueue, InputRange
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
        self._waiting = InputQueue(PIECE_S, MAX_PIECE_INPUTS)
        self._in_flight: dict[Call, InputRange] = {}

    def execute(self, batches: Iterator[WorkBatch], advance: Advance) -> Iterator[FinishedBatch]:
        """Yield batches as they are finished. No more are open than the cluster can work on."""
        open_batch_count = 0
        while True:
            max_tasks = TASKS_PER_CORE * max(
                1, min(self._cluster.fits(WorkerResources()), self._max_workers or MAX_PIECE_INPUTS)
            )
            while (
                open_batch_count < max_tasks + 2
                and len(self._waiting) < max_tasks
                and (batch := next(batches, None)) is not None
            ):
                open_batch_count += 1
                self._waiting.add_batch(batch)
            if not open_batch_count:
                return
            while self._waiting and len(self._in_flight) < max_tasks:
                input_range = self._waiting.take()
                sent_inputs = SentInputs.of(input_range.underway.batch, input_range.start, input_range.stop)
                self._in_flight[self._cluster.call(work_on, WorkerResources(), self._work, sent_inputs)] = input_range
            for ended_call in self._cluster.wait(self._in_flight):
                batch_in_progress = self._take_result(ended_call, self._in_flight.pop(ended_call), advance)
                if not batch_in_progress.inputs_left:
                    open_batch_count -= 1
                    yield batch_in_progress.finished()

    def _take_result(self, call: Call, input_range: InputRange, advance: Advance) -> BatchInProgress:
        batch_in_progress, input_count = input_range.underway, len(input_range)
        try:
            returned_results: ReturnedResults = self._cluster.result(call)
        except WorkerLost:
            if input_range.attempt < MAX_LOSSES:
                self._waiting.give_back(input_range.again())
                return batch_in_progress
            returned_results = ReturnedResults(
                None,
                tuple(Deferred(input_key, LOST) for input_key in batch_in_progress.keys[input_range.start : input_range.stop]),
            )
        else:
            self._waiting.note_time(returned_results.took_s, input_count)
        stage_results = returned_results.rows()
        batch_in_progress.pieces += [stage_results] if stage_results is not None else []
        batch_in_progress.deferred += returned_results.deferred
        batch_in_progress.inputs_left -= input_count
        advance(input_count)
        return batch_in_progress


_pools: dict[Id, KillablePool] = {}
"""In a worker: the pool of its current stage. It outlives a task, so that processes are reused."""


def work_on(work: RemoteStage, sent_inputs: SentInputs) -> ReturnedResults:
    """In a worker: process some inputs."""
    began_s = time.monotonic()
    killable_pool = _pool(work)
    try:
        (finished_batch,) = killable_pool.execute(iter([sent_inputs.batch()]), lambda _: None)
    except BaseException:
        _close_all()
        raise
    return ReturnedResults.of(finished_batch, time.monotonic() - began_s)


def _pool(work: RemoteStage) -> KillablePool:
    if work.variant not in _pools:
        _close_all()
        assert isinstance(work.stage, Each)
        _pools[work.variant] = KillablePool(work.stage, work.workspace())
    return _pools[work.variant]


def _close_all() -> None:
    while _pools:
        _pools.popitem()[1].__exit__(None, None, None)
