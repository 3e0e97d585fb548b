"""The executor for a Ray cluster: each shape of stage is distributed in the way that suits it."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.executors.asking import ask
from dmforge.curation.executors.finished import Advance, Finished
from dmforge.curation.executors.ray.cluster import Cluster
from dmforge.curation.executors.ray.pieces import Pieces
from dmforge.curation.executors.ray.streams import Streams
from dmforge.curation.lake.views import AnyStage
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.stage import Ask, Batch, Each
from dmforge.curation.workspace import Workspace


class RayExecutor:
    """Runs stages on a cluster whose machines all see the workspace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def execute(
        self, stage: AnyStage, workspace: Workspace, batches: Iterator[WorkBatch], advance: Advance
    ) -> Iterator[Finished]:
        if isinstance(stage, Each):
            yield from Pieces(self._cluster, stage, workspace).execute(batches, advance)
        elif isinstance(stage, Ask):
            # in this process: so there is one limiter, one account and one journal, and the API key goes to the teacher only
            yield from ask(stage, workspace, batches, advance)
        elif isinstance(stage, Batch):
            yield from Streams(self._cluster, stage, workspace).execute(batches, advance)
        else:
            raise TypeError(f"{stage.name} has none of the shapes that work on batches")
