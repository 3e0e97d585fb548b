"""The executor for one machine: each shape of stage is run in the way that suits it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from dmforge.curation.contract.stage import AnyStage, Ask, Batch, Each
from dmforge.curation.engine.executors.batch_results import Advance, FinishedBatch, OpenBatch
from dmforge.curation.engine.executors.concurrent_asks import ask
from dmforge.curation.engine.executors.killable_pool import KillablePool
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.records import Item, Record


class LocalExecutor:
    """Runs stages in this process and in killable ones on this machine."""

    def execute(
        self, stage: AnyStage, workspace: WorkspaceFolder, batches: Iterator[WorkBatch], advance: Advance
    ) -> Iterator[FinishedBatch]:
        if isinstance(stage, Each):
            with KillablePool(stage, workspace) as pool:
                yield from pool.execute(batches, advance)
        elif isinstance(stage, Ask):
            yield from ask(stage, workspace, batches, advance)
        elif isinstance(stage, Batch):
            yield from stream(stage, workspace, batches, advance)
        else:
            raise TypeError(f"{stage.name} has none of the shapes that work on batches")


def stream(
    stage: Batch[Item, Record], workspace: WorkspaceFolder, batches: Iterator[WorkBatch], advance: Advance
) -> Iterator[FinishedBatch]:
    """Run a Batch stage. It may read ahead across batches; its results come in the order of its inputs."""
    open_batches: deque[OpenBatch] = deque()

    def read_items() -> Iterator[Item]:
        for batch in batches:
            open_batches.append(OpenBatch(batch.keys()))
            yield from from_arrow(stage.item, batch.items)

    stage.open(workspace)
    for input_result in stage.process(read_items()):
        if not open_batches:
            raise DmforgeError(f"stage {stage.name!r} gave more results than it was given inputs")
        first_batch = open_batches[0]
        first_batch.results[len(first_batch.results)] = input_result
        advance(1)
        if first_batch.is_done:
            open_batches.popleft()
            yield first_batch.finished(stage)
    stage.close()
    if open_batches or next(batches, None) is not None:
        raise DmforgeError(f"stage {stage.name!r} ended before all of its inputs were answered")
