"""Each on a cluster: pieces of batches as tasks, and on every machine the killable processes that one machine has, too."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from dmforge.curation.executors.finished import Advance, Deferred, Finished, Underway
from dmforge.curation.executors.isolate import KillablePool
from dmforge.curation.executors.ray.cluster import Call, Cluster, Lost, Took
from dmforge.curation.executors.ray.work import LOST, MOST_LOSSES, Back, Sent, Work
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.stage import Each
from dmforge.curation.workspace import Workspace
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Item, Record

PIECE_S = 2.0
"""A task is about this much work: far more than it costs to send it, and little to lose with a machine."""
MOST_ITEMS = 4096
AHEAD = 2
"""Tasks in flight for each core: one at work, and one that waits for it."""


@dataclass(frozen=True)
class _Span:
    """A run of a batch's inputs, and how often its worker was lost."""

    opened: Underway
    start: int
    stop: int
    losses: int = 0


class Pieces:
    """An Each stage under way."""

    def __init__(self, cluster: Cluster, stage: Each[Item, Record], workspace: Workspace) -> None:
        # a task has one core, and so one killable process
        alone = type(stage)(stage.config.model_copy(update={"workers": 1}))
        self._cluster, self._most = cluster, stage.config.workers
        self._work = cluster.share(Work(alone, str(workspace.root), stage.variant))
        self._spans: deque[_Span] = deque()
        self._flight: dict[Call, _Span] = {}
        self._pace_s = PIECE_S  # seconds an input takes; assumed slow until seen to be quick

    def execute(self, batches: Iterator[WorkBatch], advance: Advance) -> Iterator[Finished]:
        """Batches as they are finished. No more are open than the cluster has use for."""
        opened, more = 0, True
        while True:
            room = AHEAD * max(1, min(self._cluster.fits(Took()), self._most or MOST_ITEMS))
            while more and opened < room + 2 and len(self._spans) < room:
                batch = next(batches, None)
                if batch is None:
                    more = False
                    break
                opened += 1
                self._spans.append(_Span(Underway.of(batch), 0, batch.items.num_rows))
            if not opened:
                return
            while self._spans and len(self._flight) < room:
                span = self._next_span()
                sent = Sent.of(span.opened.batch, span.start, span.stop)
                self._flight[self._cluster.call(work_on, Took(), self._work, sent)] = span
            for call in self._cluster.wait(self._flight):
                done = self._take(call, self._flight.pop(call), advance)
                if not done.left:
                    opened -= 1
                    yield done.finished()

    def _next_span(self) -> _Span:
        span = self._spans.popleft()
        size = max(1, min(MOST_ITEMS, int(PIECE_S / self._pace_s)))
        if span.stop - span.start <= size:
            return span
        self._spans.appendleft(_Span(span.opened, span.start + size, span.stop, span.losses))
        return _Span(span.opened, span.start, span.start + size, span.losses)

    def _take(self, call: Call, span: _Span, advance: Advance) -> Underway:
        opened, number = span.opened, span.stop - span.start
        try:
            back: Back = self._cluster.result(call)
        except Lost:
            if span.losses + 1 < MOST_LOSSES:
                self._spans.appendleft(_Span(opened, span.start, span.stop, span.losses + 1))
                return opened
            back = Back(None, tuple(Deferred(key, LOST) for key in opened.keys[span.start : span.stop]))
        else:
            self._pace_s = 0.5 * self._pace_s + 0.5 * max(back.took_s / number, 1e-6)
        settled = back.rows()
        opened.pieces += [settled] if settled is not None else []
        opened.deferred += back.deferred
        opened.left -= number
        advance(number)
        return opened


_pools: dict[Id, KillablePool] = {}
"""In a worker: the pool of the stage that it works for. It outlives a task: a process is kept as long as it behaves."""


def work_on(work: Work, sent: Sent) -> Back:
    """In a worker: what becomes of some inputs."""
    began_s = time.monotonic()
    pool = _pool(work)
    try:
        (finished,) = pool.execute(iter([sent.batch()]), lambda _: None)
    except BaseException:
        _close_all()
        raise
    return Back.of(finished, time.monotonic() - began_s)


def _pool(work: Work) -> KillablePool:
    if work.variant not in _pools:
        _close_all()
        assert isinstance(work.stage, Each)
        _pools[work.variant] = KillablePool(work.stage, work.workspace())
    return _pools[work.variant]


def _close_all() -> None:
    while _pools:
        _pools.popitem()[1].__exit__(None, None, None)
