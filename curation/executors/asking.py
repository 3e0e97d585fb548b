"""Many questions in flight, over as many batches as it takes: one slow answer holds up its own batch's commit, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from dmforge.curation.executors.finished import Advance, Deferred, Finished
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.settled import Key, Result, settle
from dmforge.curation.stage import Ask
from dmforge.curation.workspace import Workspace
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.errors import Transient
from dmforge.schemas.records import Item, Record

AnyAsk = Ask[Item, Record]


def ask(stage: AnyAsk, workspace: Workspace, batches: Iterator[WorkBatch], advance: Advance) -> Iterator[Finished]:
    """Run an Ask stage. The loop turns only while the driver waits for the next batch: a commit takes milliseconds."""
    with asyncio.Runner() as runner:  # turns Ctrl-C into KeyboardInterrupt here, after cancelling what is in flight
        finished = _finished(stage, workspace, batches, advance)
        try:
            while (batch := runner.run(_following(finished))) is not None:
                yield batch
        finally:
            with suppress(RuntimeError):  # a second Ctrl-C left it running: the runner cancels what is left
                runner.run(finished.aclose())


@dataclass
class _Opened:
    keys: list[Key]
    left: int
    results: dict[int, Result] = field(default_factory=dict[int, Result])
    deferred: list[Deferred] = field(default_factory=list[Deferred])

    def finished(self, stage: AnyAsk) -> Finished:
        done = sorted(self.results)
        settled = settle(stage.origin, [self.keys[i] for i in done], [self.results[i] for i in done], stage.makes)
        return Finished(settled if done else None, tuple(self.deferred))


async def _following(finished: AsyncGenerator[Finished, None]) -> Finished | None:
    return await anext(finished, None)


async def _finished(
    stage: AnyAsk, workspace: Workspace, batches: Iterator[WorkBatch], advance: Advance
) -> AsyncGenerator[Finished, None]:
    stage.open(workspace)
    ready: asyncio.Queue[Finished | None] = asyncio.Queue()
    work = _items(stage, batches)

    async def askers_turn() -> None:
        # the askers share one generator: each takes the next item as soon as it is free, whichever batch that is in
        for opened, index, item in work:
            try:
                opened.results[index] = await stage.process(item)
            except Transient as error:
                opened.deferred.append(Deferred(opened.keys[index], str(error)))
            advance(1)
            opened.left -= 1
            if not opened.left:
                ready.put_nowait(opened.finished(stage))

    askers = [asyncio.create_task(askers_turn()) for _ in range(stage.config.concurrency)]
    everyone = asyncio.gather(*askers)
    everyone.add_done_callback(lambda done: (done.cancelled() or done.exception(), ready.put_nowait(None)))
    try:
        while (batch := await ready.get()) is not None:
            yield batch
        await everyone  # raises what stopped an asker, after the batches that were finished before it
    finally:
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)
        await stage.aclose()


def _items(stage: AnyAsk, batches: Iterator[WorkBatch]) -> Iterator[tuple[_Opened, int, Item]]:
    for batch in batches:
        opened = _Opened(batch.keys(), batch.items.num_rows)
        for index, item in enumerate(from_arrow(stage.item, batch.items)):
            yield opened, index, item
