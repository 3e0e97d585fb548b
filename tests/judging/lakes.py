"""A lake that holds given rows: what Collectives see, without the stages that would have made them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from dmforge.curation.contract.stage import Batch, Root, Stage, StageConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.video.fingerprint import Fingerprint
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.records import Candidate, Item, Provenance, Record, Target, Task, Verdict, Video

Rows = Sequence[Video | Task | Candidate | Verdict | Provenance | Fingerprint | Target]


class GivenConfig(StageConfig):
    """Nothing to be told."""


class Given(Root, Batch[Video, Task | Candidate | Verdict | Provenance | Fingerprint | Target | Video]):
    """Videos to the rows that are about them."""

    name, version = "given", 1
    config: GivenConfig
    rows: Rows = ()

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return str(len(self.rows))

    def scan(self, workspace: WorkspaceFolder) -> Iterator[Video]:
        yield from (row for row in self.rows if isinstance(row, Video))

    def process(self, items: Iterator[Video]) -> Iterator[Result]:
        for video in items:
            about = (row for row in self.rows if not isinstance(row, Video) and row.video == video.id)
            yield Made((video, *about))


def judged(folder: Path, rows: Rows, *stages: Stage[Item, Record]) -> LakeView:
    """The view after these stages have run over these rows."""
    given = Given(GivenConfig())
    given.rows = rows
    every = (given, *stages)
    workspace = WorkspaceFolder(folder)
    workspace.inputs.mkdir(parents=True)
    workspace.recipe.write_text('name = "given"\n[stages]\n')
    with workspace.held("test"):
        lake = Lake(workspace)
        for report in Driver(lake, every, LocalExecutor(), Console(quiet=True)).run(every):
            assert not report.tally.pending, report
    return LakeView(Lake(workspace), every)
