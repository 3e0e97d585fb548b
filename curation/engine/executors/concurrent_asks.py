"""Runs Ask stages with many requests in flight, across batches: a slow answer delays the commit of its own batch only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
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
    with coroutine_runner() as run:
        finished_batches = _ask_all(stage, workspace, batches, advance)
        try:
            while (batch := run(_next_batch(finished_batches))) is not None:
                yield batch
        finally:
            with suppress(RuntimeError):  # a second Ctrl-C left it running: the runner cancels the rest
                run(finished_batches.aclose())


async def _next_batch(finished_batches: AsyncGenerator[FinishedBatch, None]) -> FinishedBatch | None:
    return await anext(finished_batches, None)


async def _ask_all(
    stage: AnyAsk, workspace: WorkspaceFolder, batches: Iterator[WorkBatch], advance: Advance
) -> AsyncGenerator[FinishedBatch, None]:
    stage.open(workspace)
    ready: asyncio.Queue[FinishedBatch | None] = asyncio.Queue()
    items = _items(stage, batches)

    async def ask_items() -> None:
        # the askers share one generator: each takes the next item as soon as it is free, whichever batch that is in
        for open_batch, index, item in items:
            try:
                open_batch.results[index] = await stage.process(item)
            except Transient as error:
                open_batch.deferred.append(Deferred(open_batch.keys[index], str(error)))
            advance(1)
            if open_batch.is_done:
                ready.put_nowait(open_batch.finished(stage))

    askers = [asyncio.create_task(ask_items()) for _ in range(stage.config.concurrency)]
    all_askers = asyncio.gather(*askers)
    all_askers.add_done_callback(lambda future: (future.cancelled() or future.exception(), ready.put_nowait(None)))
    try:
        while (batch := await ready.get()) is not None:
            yield batch
        await all_askers  # raises what stopped an asker, after the batches that were finished before it
    finally:
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)
        await stage.aclose()


def _items(stage: AnyAsk, batches: Iterator[WorkBatch]) -> Iterator[tuple[OpenBatch, int, Item]]:
    for batch in batches:
        open_batch = OpenBatch(batch.keys())
        for index, item in enumerate(from_arrow(stage.item, batch.items)):
            yield open_batch, index, item
