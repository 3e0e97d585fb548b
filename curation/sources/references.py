"""Benchmarks as the lake knows them: what must not be trained on. They are never tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dmforge.curation.settled import Made, Rejected, Result
from dmforge.curation.sources.annotations import Row, all_rows, edition, question
from dmforge.curation.sources.contract import Refused
from dmforge.curation.sources.formats.benchmarks import LISTED
from dmforge.curation.sources.names import parse
from dmforge.curation.stage import Batch, Root, StageConfig
from dmforge.curation.workspace import Workspace
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Record

FOLDER = "benchmarks"


@dataclass(frozen=True, slots=True)
class Reference(Record):
    """A video of a benchmark, or a question about one."""

    kind = "reference"
    table = "benchmarks"

    video: Id
    """An id that no video has: work is cut by it."""
    benchmark: str
    namespace: str
    source_id: str
    question: str


class BenchmarksConfig(StageConfig):
    """Nothing to be told."""


class Benchmarks(Root, Batch[Row, Reference]):
    """Rows of benchmark files to what they name."""

    name, version = "benchmarks", 2
    repeats = True  # an id may stand in two lists
    config: BenchmarksConfig

    def edition(self, workspace: Workspace) -> str:
        return edition(workspace, FOLDER)

    def scan(self, workspace: Workspace) -> Iterator[Row]:
        return all_rows(workspace, FOLDER)

    def process(self, items: Iterator[Row]) -> Iterator[Result]:
        for row in items:
            asked = question(row.said)
            if isinstance(asked, Refused) and asked.reason != LISTED:
                yield Rejected(asked.reason, f"{row.origin}: {asked.video}")
                continue
            text = "" if isinstance(asked, Refused) else asked.question
            yield Made((Reference(row.video, row.source, row.namespace, parse(asked.video).id, text),))
