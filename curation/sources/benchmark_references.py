"""The stage that puts benchmarks into the lake: what must not be trained on. They are never tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dmforge.curation.contract.stage import Batch, Root, StageConfig
from dmforge.curation.contract.stage_results import Made, Rejected, Result
from dmforge.curation.sources.annotation_format import RefusedQuestion
from dmforge.curation.sources.annotations import AnnotationRow, all_rows, read_question, source_version
from dmforge.curation.sources.formats.benchmarks import LISTED
from dmforge.curation.sources.video_names import parse
from dmforge.curation.workspace_folder import WorkspaceFolder
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
    """Its name."""
    namespace: str
    """Whose ids the videos' names are."""
    source_id: str
    """The name of the video there."""
    question: str
    """Empty where the list names videos alone."""


class BenchmarksConfig(StageConfig):
    """Nothing to be told."""


class Benchmarks(Root, Batch[AnnotationRow, Reference]):
    """Makes a reference of every row of a benchmark file."""

    name, version = "benchmarks", 2
    allows_duplicate_rows = True  # an id may stand in two lists
    config: BenchmarksConfig

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return source_version(workspace, FOLDER)

    def scan(self, workspace: WorkspaceFolder) -> Iterator[AnnotationRow]:
        return all_rows(workspace, FOLDER)

    def process(self, items: Iterator[AnnotationRow]) -> Iterator[Result]:
        for annotation_row in items:
            question = read_question(annotation_row.said)
            if isinstance(question, RefusedQuestion) and question.reason != LISTED:
                yield Rejected(question.reason, f"{annotation_row.origin}: {question.video}")
                continue
            question_text = "" if isinstance(question, RefusedQuestion) else question.question
            yield Made(
                (
                    Reference(
                        annotation_row.video,
                        annotation_row.source,
                        annotation_row.namespace,
                        parse(question.video).id,
                        question_text,
                    ),
                )
            )
