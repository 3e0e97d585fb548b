"""Checks rows on all cores, in their order: the rules cost some nine milliseconds a trajectory, and no row needs another."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context

from dmforge.curation.io.batching import batched
from dmforge.filters.inspection.row_checks import CheckedRow, check_row
from dmforge.filters.inspection.set_rows import SetRow
from dmforge.schemas.errors import DmforgeError

FEW_ROWS = 500
"""So many rows are checked by this process: others take longer to start."""
BATCH_ROWS = 100
BATCHES_OF_WORKER = 3
"""Batches that wait, or are worked at, for each worker: more would only be held."""
RowWithLength = tuple[SetRow, int | None]
"""A row, and how long its video is in centiseconds, where that is known."""
Checked = tuple[SetRow, CheckedRow]


def check_rows(rows: Iterator[RowWithLength]) -> Iterator[Checked]:
    """Each row with what its checks came to."""
    yield from _check_batch(list(islice(rows, FEW_ROWS)))
    worker_count = len(os.sched_getaffinity(0))
    batches = batched(rows, BATCH_ROWS)
    while batch := next(batches, None):
        if worker_count > 1 and any(row.written for row, _ in batch):
            yield from _check_side_by_side(chain([batch], batches), worker_count)
        else:  # without a trajectory to check a row costs less than to hand it over
            yield from _check_batch(batch)


def _check_side_by_side(batches: Iterator[list[RowWithLength]], worker_count: int) -> Iterator[Checked]:
    # forked, so that no script of a caller is run again; all that a child does is to match texts
    pool = ProcessPoolExecutor(worker_count, get_context("fork"), initializer=_leave_interrupts_to_parent)
    waiting: deque[Future[list[Checked]]] = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(_check_batch, batch))
            if len(waiting) >= BATCHES_OF_WORKER * worker_count:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        hint = "it may have had too little memory; inspect the set in parts"
        raise DmforgeError("a process of the inspection has ended", hint=hint) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _check_batch(batch: list[RowWithLength]) -> list[Checked]:
    return [(row, check_row(row, duration_cs)) for row, duration_cs in batch]


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
