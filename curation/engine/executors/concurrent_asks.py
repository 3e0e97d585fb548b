"""Runs Ask stages with many requests in flight, across batches: a slow answer delays the commit of its own batch only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import suppress

from dmforge.curation.contract.stage import Ask
from dmforge.curation.engine.executors.batch_results import Advance, Deferred, FinishedBatch, OpenBatch
from dmforge.curation.engine.executors.event_loop import coroutine_runner
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.errors import Transient
from dmforge.schemas.records import Item, Record

AnyAsk = Ask[Item, Record]


def ask(stage: AnyAsk, workspace: WorkspaceFolder, batches: Iterator[WorkBatch], advance: Advance) -> Iterator[FinishedBatch]:
    """Run an Ask stage. The event loop runs only while the driver waits for the next batch: a commit takes milliseconds."""
    with coroutine_runner() as run_coroutine:
        finished_batches = _ask_all(stage, workspace, batches, advance)
        try:
            while (finished_batch := run_coroutine(_next_batch(finished_batches))) is not None:
                yield finished_batch
        finally:
            with suppress(RuntimeError):  # a second Ctrl-C left it running: the runner cancels the rest
                run_coroutine(finished_batches.aclose())


async def _next_batch(finished_batches: AsyncGenerator[FinishedBatch, None]) -> FinishedBatch | None:
    return await anext(finished_batches, None)


async def _ask_all(
    stage: AnyAsk, workspace: WorkspaceFolder, batches: Iterator[WorkBatch], advance: Advance
) -> AsyncGenerator[FinishedBatch, None]:
    stage.open(workspace)
    finished_queue: asyncio.Queue[FinishedBatch | None] = asyncio.Queue()
    pending_items = _items(stage, batches)

    async def ask_items() -> None:
        # the askers share one generator: each takes the next item as soon as it is free, whichever batch that is in
        for open_batch, input_index, input_item in pending_items:
            try:
                open_batch.results[input_index] = await stage.process(input_item)
            except Transient as error:
                open_batch.deferred.append(Deferred(open_batch.keys[input_index], str(error)))
            advance(1)
            if open_batch.is_done:
                finished_queue.put_nowait(open_batch.finished(stage))

    asker_tasks = [asyncio.create_task(ask_items()) for _ in range(stage.config.in_flight)]

    def stop_all(task: asyncio.Task[None]) -> None:
        # what stopped one of them stops all: no further input is taken
        if not task.cancelled() and task.exception():
            pending_items.close()
            for asker_task in () if stage.config.finishes_calls else asker_tasks:
                asker_task.cancel()

    for asker_task in asker_tasks:
        asker_task.add_done_callback(stop_all)
    all_askers = asyncio.create_task(asyncio.wait(asker_tasks))
    all_askers.add_done_callback(lambda _: finished_queue.put_nowait(None))
    try:
        while (finished_batch := await finished_queue.get()) is not None:
            yield finished_batch
        for error in (task.exception() for task in asker_tasks if not task.cancelled()):
            if error is not None:  # raised after the batches that were finished before it
                raise error
    finally:
        for task in (*asker_tasks, all_askers):
            task.cancel()
        await asyncio.gather(*asker_tasks, return_exceptions=True)
        await stage.aclose()


def _items(stage: AnyAsk, batches: Iterator[WorkBatch]) -> Generator[tuple[OpenBatch, int, Item]]:
    for batch in batches:
        open_batch = OpenBatch(batch.keys())
        for input_index, input_item in enumerate(from_arrow(stage.item, batch.items)):
            yield open_batch, input_index, input_item
