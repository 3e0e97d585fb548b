"""Batch on a cluster: a pool of engines, each fed while it works. One that is lost leaves its batches to the others."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from dmforge.curation.executors.finished import Advance, Deferred, Finished
from dmforge.curation.executors.local import stream
from dmforge.curation.executors.ray.cluster import Actor, Call, Cluster, Lost, Took
from dmforge.curation.executors.ray.work import LOST, MOST_LOSSES, Back, Sent, Work
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.stage import Batch, BatchConfig
from dmforge.curation.workspace import Workspace
from dmforge.schemas.records import Item, Record


@dataclass(frozen=True, slots=True)
class Hungry:
    """The engine has begun with the last batch it was given: another one should be at hand."""


@dataclass(frozen=True, slots=True)
class Ended:
    """It has answered all that it was given, and will be given no more; or it failed."""

    error: BaseException | None = None


Event = Hungry | Back | Ended


class Engine:
    """In a worker: a stage whose stream runs in a thread, fed from outside."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._fed: queue.SimpleQueue[Sent | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def feed(self, batches: list[Sent], last: bool) -> list[Event]:
        """Take more batches; what happened since, at least one thing."""
        for batch in (*batches, *([None] if last else [])):
            self._fed.put(batch)
        events = [self._events.get()]
        while not self._events.empty():
            events.append(self._events.get())
        return events

    def _run(self) -> None:
        try:
            stage = self._work.stage
            assert isinstance(stage, Batch)
            for finished in stream(stage, self._work.workspace(), self._batches(), lambda _: None):
                self._events.put(Back.of(finished))
            self._events.put(Ended())
        except BaseException as error:  # it must reach the driver, which stops the run with it
            self._events.put(Ended(error))

    def _batches(self) -> Iterator[WorkBatch]:
        self._events.put(Hungry())  # so one batch is always waiting while another is at work
        while True:
            self._events.put(Hungry())
            sent = self._fed.get()
            if sent is None:
                return
            yield sent.batch()


@dataclass
class _Given:
    """A batch, and how often its worker was lost."""

    batch: WorkBatch
    losses: int = 0


@dataclass
class _Worker:
    actor: Actor
    held: deque[_Given] = field(default_factory=deque[_Given])
    hunger: int = 0
    is_last: bool = False
    """It was told that no more will come."""


class Streams:
    """A Batch stage under way."""

    def __init__(self, cluster: Cluster, stage: Batch[Item, Record], workspace: Workspace) -> None:
        config = stage.config if isinstance(stage.config, BatchConfig) else BatchConfig()
        self._cluster, self._took, self._most = cluster, Took(gpus=config.gpus), config.workers
        self._work = cluster.share(Work(stage, str(workspace.root), stage.variant))
        self._waiting: deque[_Given] = deque()
        self._workers: dict[Call, _Worker] = {}
        """By the call that tells what happens next at each."""

    def execute(self, batches: Iterator[WorkBatch], advance: Advance) -> Iterator[Finished]:
        """Batches as they are finished. No more are taken than there are engines to have them."""
        try:
            while True:
                room = self._room()
                self._fetch(batches, room)
                for _ in range(min(room - len(self._workers), len(self._waiting))):
                    worker = _Worker(self._cluster.actor(Engine, self._took, self._work))
                    self._feed(worker)
                if not any(worker.held for worker in self._workers.values()) and not self._waiting:
                    return
                for call in self._cluster.wait(self._workers):
                    yield from self._heard(self._workers.pop(call), call, batches, advance)
        finally:
            for worker in self._workers.values():
                self._cluster.end(worker.actor)

    def _room(self) -> int:
        """Engines that there is room for: at least one, which waits for a machine where there is none."""
        return max(1, min(self._cluster.fits(self._took), self._most or 2**31))

    def _fetch(self, batches: Iterator[WorkBatch], number: int) -> None:
        while len(self._waiting) < number and (batch := next(batches, None)) is not None:
            self._waiting.append(_Given(batch))

    def _heard(self, worker: _Worker, call: Call, batches: Iterator[WorkBatch], advance: Advance) -> Iterator[Finished]:
        try:
            events: list[Event] = self._cluster.result(call)
        except Lost:
            yield from self._give_back(worker)
            return
        for event in events:
            match event:
                case Hungry():
                    worker.hunger += 1
                case Back():
                    given = worker.held.popleft()
                    advance(given.batch.items.num_rows)
                    yield Finished(event.rows(), event.deferred)
                case Ended():
                    self._cluster.end(worker.actor)
                    if event.error is not None:
                        raise event.error
                    return
        self._fetch(batches, worker.hunger)
        self._feed(worker)

    def _feed(self, worker: _Worker) -> None:
        given = [self._waiting.popleft() for _ in range(min(worker.hunger, len(self._waiting)))]
        # one that waits for more before it answers must be told that nothing more comes
        ends = bool(worker.hunger) and not self._waiting and len(given) < worker.hunger and not worker.is_last
        worker.held += given
        worker.hunger -= len(given)
        worker.is_last = worker.is_last or ends
        call = self._cluster.tell(worker.actor, "feed", [Sent.of(one.batch) for one in given], ends)
        self._workers[call] = worker

    def _give_back(self, worker: _Worker) -> Iterator[Finished]:
        for given in reversed(worker.held):
            given.losses += 1
            if given.losses < MOST_LOSSES:
                self._waiting.appendleft(given)
            else:
                keys = given.batch.keys()
                yield Finished(None, tuple(Deferred(key, LOST) for key in keys))
