"""Tasks from our own annotation format: one JSON object a line.

    {"video": "a.mp4", "kind": "grounded_mcq", "question": "Which colour flashes?", "options": ["red", "blue"],
     "answer": "red", "windows": [[3.0, 5.5]], "needs": "any"}

`options` are for `mcq` and `grounded_mcq`, `windows` for all kinds but `mcq`, and `grounding` needs one; `needs`
says whether any window or only all of them together answer the question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dmforge.curation.settled import Made, Rejected, Result
from dmforge.curation.sources.annotations import Row, all_rows, edition
from dmforge.curation.stage import Batch, Root, StageConfig
from dmforge.curation.workspace import Workspace
from dmforge.schemas.looks import Window
from dmforge.schemas.records import Needs, Task, TaskKind
from dmforge.schemas.scoring import choice

Words = Annotated[str, Field(pattern=r"\S")]
Seconds = Annotated[float, Field(ge=0, le=9_999_999)]


class Line(BaseModel):
    """What a line may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)

    video: str
    kind: TaskKind
    question: Words
    options: Annotated[tuple[str, ...], Field(max_length=26)] = ()
    answer: Words
    windows: tuple[tuple[Seconds, Seconds], ...] = ()
    needs: Needs = "any"


class ImportConfig(StageConfig):
    """How annotations become tasks."""


class Import(Root, Batch[Row, Task]):
    """Annotation lines to tasks."""

    name, version = "import", 1
    repeats = True  # the same question may stand in two files
    config: ImportConfig

    def edition(self, workspace: Workspace) -> str:
        return edition(workspace)

    def scan(self, workspace: Workspace) -> Iterator[Row]:
        return all_rows(workspace)

    def process(self, items: Iterator[Row]) -> Iterator[Result]:
        return map(_read, items)


def _read(row: Row) -> Result:
    try:
        line = Line.model_validate(json.loads(row.line))
    except ValidationError as error:
        fault: Any = error.errors(include_url=False, include_input=False)[0]
        return Rejected("not a task", f"{row.origin}: {'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}")
    spans = [(round(start * 100), round(end * 100)) for start, end in line.windows]
    if any(start >= end for start, end in spans):
        return Rejected("window ends before it begins", row.origin)
    if line.kind == "grounding" and not line.windows:
        return Rejected("grounding without a window", row.origin)
    if "mcq" in line.kind and choice(line.answer, line.options) is None:
        return Rejected("answer not among the options", row.origin)
    windows = tuple(Window(*span) for span in spans)
    return Made((
        Task(row.video, line.kind, line.question, line.options, line.answer, windows, line.needs,
             source=row.source, licence=row.licence, origin=row.origin),
    ))  # fmt: skip
