"""Runs Batch stages on a cluster: a pool of engines, each fed while it works. The batches of a lost one go to the others."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from dmforge.curation.contract.stage import Batch, BatchConfig
from dmforge.curation.engine.executors.batch_results import Advance, Deferred, FinishedBatch
from dmforge.curation.engine.executors.local_executor import stream
from dmforge.curation.engine.executors.ray.cluster import Actor, Call, Cluster, WorkerLost, WorkerResources
from dmforge.curation.engine.executors.ray.payloads import LOST, MAX_LOSSES, RemoteStage, ReturnedResults, SentInputs
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.records import Item, Record


@dataclass(frozen=True, slots=True)
class ReadyForBatch:
    """The engine has begun its last batch and wants another one."""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The engine has answered all batches, after the last one was announced; or it failed."""

    error: BaseException | None = None


Event = ReadyForBatch | ReturnedResults | StreamEnded


class StageStream:
    """In a worker: a Batch stage whose stream runs in a thread, fed by calls."""

    def __init__(self, work: RemoteStage) -> None:
        self._work = work
        self._inbox: queue.SimpleQueue[SentInputs | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def feed(self, batches: list[SentInputs], is_last: bool) -> list[Event]:
        """Take more batches, and return the events since the last call, at least one."""
        for sent_inputs in (*batches, *([None] if is_last else [])):
            self._inbox.put(sent_inputs)
        new_events = [self._events.get()]
        while not self._events.empty():
            new_events.append(self._events.get())
        return new_events

    def _run(self) -> None:
        try:
            stage = self._work.stage
            assert isinstance(stage, Batch)
            for finished_batch in stream(stage, self._work.workspace(), self._batches(), lambda _: None):
                self._events.put(ReturnedResults.of(finished_batch))
            self._events.put(StreamEnded())
        except BaseException as error:  # it must reach the driver, which stops the run with it
            self._events.put(StreamEnded(error))

    def _batches(self) -> Iterator[WorkBatch]:
        self._events.put(ReadyForBatch())  # so one batch is always waiting while another is at work
        while True:
            self._events.put(ReadyForBatch())
            sent_inputs = self._inbox.get()
            if sent_inputs is None:
                return
            yield sent_inputs.batch()


@dataclass
class _SentBatch:
    """A batch for a worker, and how often its worker was lost."""

    batch: WorkBatch
    losses: int = 0


@dataclass
class _Worker:
    actor: Actor
    batches_in_work: deque[_SentBatch] = field(default_factory=deque[_SentBatch])
    batches_wanted: int = 0
    was_told_last: bool = False
    """Whether it was told that no more batches will come."""


class BatchStreams:
    """Runs one Batch stage."""

    def __init__(self, cluster: Cluster, stage: Batch[Item, Record], workspace: WorkspaceFolder) -> None:
        batch_config = stage.config if isinstance(stage.config, BatchConfig) else BatchConfig()
        self._cluster, self._share, self._max_workers = cluster, WorkerResources(gpus=batch_config.gpus), batch_config.workers
        self._work = cluster.share(RemoteStage(stage, str(workspace.root), stage.variant))
        self._waiting: deque[_SentBatch] = deque()
        self._workers: dict[Call, _Worker] = {}
        """By the pending call that will return each worker's next events."""

    def execute(self, batches: Iterator[WorkBatch], advance: Advance) -> Iterator[FinishedBatch]:
        """Yield batches as they are finished. No more are taken than the engines want."""
        try:
            while True:
                max_engines = self._max_engines()
                self._fetch(batches, max_engines)
                for _ in range(min(max_engines - len(self._workers), len(self._waiting))):
                    worker = _Worker(self._cluster.actor(StageStream, self._share, self._work))
                    self._feed(worker)
                if not any(worker.batches_in_work for worker in self._workers.values()) and not self._waiting:
                    return
                for ended_call in self._cluster.wait(self._workers):
                    yield from self._handle_events(self._workers.pop(ended_call), ended_call, batches, advance)
        finally:
            for worker in self._workers.values():
                self._cluster.end(worker.actor)

    def _max_engines(self) -> int:
        """How many engines fit on the cluster: at least one, which waits for a machine where there is none."""
        return max(1, min(self._cluster.fits(self._share), self._max_workers or 2**31))

    def _fetch(self, batches: Iterator[WorkBatch], max_waiting: int) -> None:
        while len(self._waiting) < max_waiting and (batch := next(batches, None)) is not None:
            self._waiting.append(_SentBatch(batch))

    def _handle_events(
        self, worker: _Worker, call: Call, batches: Iterator[WorkBatch], advance: Advance
    ) -> Iterator[FinishedBatch]:
        try:
            events: list[Event] = self._cluster.result(call)
        except WorkerLost:
            yield from self._give_back(worker)
            return
        for stream_event in events:
            match stream_event:
                case ReadyForBatch():
                    worker.batches_wanted += 1
                case ReturnedResults():
                    sent_batch = worker.batches_in_work.popleft()
                    advance(sent_batch.batch.items.num_rows)
                    yield FinishedBatch(stream_event.rows(), stream_event.deferred)
                case StreamEnded():
                    self._cluster.end(worker.actor)
                    if stream_event.error is not None:
                        raise stream_event.error
                    return
        self._fetch(batches, worker.batches_wanted)
        self._feed(worker)

    def _feed(self, worker: _Worker) -> None:
        sent_batches = [self._waiting.popleft() for _ in range(min(worker.batches_wanted, len(self._waiting)))]
        # an engine that waits for more inputs before it answers must be told that none will come
        is_last_feed = (
            bool(worker.batches_wanted)
            and not self._waiting
            and len(sent_batches) < worker.batches_wanted
            and not worker.was_told_last
        )
        worker.batches_in_work += sent_batches
        worker.batches_wanted -= len(sent_batches)
        worker.was_told_last = worker.was_told_last or is_last_feed
        feed_call = self._cluster.call_method(
            worker.actor, "feed", [SentInputs.of(sent_batch.batch) for sent_batch in sent_batches], is_last_feed
        )
        self._workers[feed_call] = worker

    def _give_back(self, worker: _Worker) -> Iterator[FinishedBatch]:
        for sent_batch in reversed(worker.batches_in_work):
            sent_batch.losses += 1
            if sent_batch.losses < MAX_LOSSES:
                self._waiting.appendleft(sent_batch)
            else:
                input_keys = sent_batch.batch.keys()
                yield FinishedBatch(None, tuple(Deferred(input_key, LOST) for input_key in input_keys))
