"""The executor for a Ray cluster: each shape of stage is distributed in the way that suits it."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.contract.stage import AnyStage, Ask, Batch, Each
from dmforge.curation.engine.executors.batch_results import Advance, FinishedBatch
from dmforge.curation.engine.executors.concurrent_asks import ask
from dmforge.curation.engine.executors.ray.batch_streams import BatchStreams
from dmforge.curation.engine.executors.ray.cluster import Cluster
from dmforge.curation.engine.executors.ray.each_tasks import EachTasks
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.workspace_folder import WorkspaceFolder


class RayExecutor:
    """Runs stages on a cluster whose machines all see the workspace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def execute(
        self, stage: AnyStage, workspace: WorkspaceFolder, batches: Iterator[WorkBatch], advance: Advance
    ) -> Iterator[FinishedBatch]:
        if isinstance(stage, Each):
            yield from EachTasks(self._cluster, stage, workspace).execute(batches, advance)
        elif isinstance(stage, Ask):
            # in this process: so there is one limiter, one account and one journal, and the API key goes to the teacher only
            yield from ask(stage, workspace, batches, advance)
        elif isinstance(stage, Batch):
            yield from BatchStreams(self._cluster, stage, workspace).execute(batches, advance)
        else:
            raise TypeError(f"{stage.name} has none of the shapes that work on batches")
