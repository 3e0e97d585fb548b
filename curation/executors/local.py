"""One machine: each shape of stage is run in the way that suits it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from dmforge.curation.executors.asking import ask
from dmforge.curation.executors.finished import Advance, Finished
from dmforge.curation.executors.isolate import KillablePool
from dmforge.curation.lake.views import AnyStage
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.settled import Key, Result, settle
from dmforge.curation.stage import Ask, Batch, Each
from dmforge.curation.workspace import Workspace
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.records import Item, Record


class LocalExecutor:
    """The executor for one machine."""

    def execute(
        self, stage: AnyStage, workspace: Workspace, batches: Iterator[WorkBatch], advance: Advance
    ) -> Iterator[Finished]:
        if isinstance(stage, Each):
            with KillablePool(stage, workspace) as pool:
                yield from pool.execute(batches, advance)
        elif isinstance(stage, Ask):
            yield from ask(stage, workspace, batches, advance)
        elif isinstance(stage, Batch):
            yield from stream(stage, workspace, batches, advance)
        else:
            raise TypeError(f"{stage.name} has none of the shapes that work on batches")


@dataclass
class _Opened:
    keys: list[Key]
    results: list[Result] = field(default_factory=list[Result])


def stream(
    stage: Batch[Item, Record], workspace: Workspace, batches: Iterator[WorkBatch], advance: Advance
) -> Iterator[Finished]:
    """Feed a Batch stage. It may read ahead over the ends of batches; its results come in the order of its inputs."""
    opened: deque[_Opened] = deque()

    def feed() -> Iterator[Item]:
        for batch in batches:
            opened.append(_Opened(batch.keys()))
            yield from from_arrow(stage.item, batch.items)

    stage.open(workspace)
    for result in stage.process(feed()):
        if not opened:
            raise DmforgeError(f"stage {stage.name!r} gave more results than it was given inputs")
        first = opened[0]
        first.results.append(result)
        advance(1)
        if len(first.results) == len(first.keys):
            opened.popleft()
            yield Finished(settle(stage.origin, first.keys, first.results, stage.makes))
    stage.close()
    if opened or next(batches, None) is not None:
        raise DmforgeError(f"stage {stage.name!r} ended before all of its inputs were answered")
