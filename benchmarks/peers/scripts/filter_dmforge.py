"""Rows filtered by rule, with reasons, resumable: dmforge."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rules import judge

from dmforge.curation.contract.stage import Each, EachConfig, Made, Rejected, Result, Root
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.lake.commits import Lake
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Record


@dataclass(frozen=True, slots=True)
class Line(Record):
    kind = "line"
    table = "lines"
    video: Id
    name: str
    text: str
    answer: str


class SiftConfig(EachConfig):
    folder: str
    source_version: int = 1


class Sift(Root, Each[Line, Line]):
    name, version = "sift", 1
    config: SiftConfig

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return str(self.config.source_version)

    def scan(self, workspace: WorkspaceFolder) -> Iterator[Line]:
        for path in sorted(Path(self.config.folder).glob("*.jsonl")):
            for row in map(json.loads, path.open()):
                yield Line(digest("video", row["id"]), row["id"], row["text"], row["answer"])

    def process(self, item: Line) -> Result:
        reason = judge(item.text, item.answer)
        return Rejected(reason) if reason else Made((item,))


if __name__ == "__main__":
    workspace, stages = WorkspaceFolder(Path(sys.argv[2])), [Sift(SiftConfig(folder=sys.argv[1], workers=2))]
    with workspace.held("sift"):
        list(Driver(Lake(workspace), stages, LocalExecutor(), Console(stderr=True, quiet=True)).run(stages))
