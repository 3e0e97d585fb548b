"""The index of a workspace's rows: every candidate, and every task that was kept, rejected, or of which nothing was made.

A million rows take some hundred megabytes: names and scores as small numbers, texts as the tokens that they hold. Everything
else about a row is read from the lake when somebody opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dmforge.curation.browse.row_columns import Mask, NamedColumn, ScoreColumn
from dmforge.curation.browse.token_index import TokenIndex
from dmforge.schemas.ids import Id, show
from dmforge.schemas.records import SubjectKind

if TYPE_CHECKING:
    from typing import Any

    import pyarrow as pa

IdMatrix = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int32]
FACETS: Mapping[str, str] = {
    "state": "State", "reason": "Reason", "subject": "Row", "kind": "Kind", "source": "Source", "teacher": "Teacher",
    "prompt": "Prompt", "split": "Split", "licence": "Licence",
}  # fmt: skip
"""The columns of names, as addresses have them, with their titles."""


@dataclass(frozen=True, slots=True)
class IndexedTasks:
    """The tasks that rows are about, in the order of their ids."""

    ids: IdMatrix
    questions: pa.ChunkedArray[Any]
    """How each begins."""
    videos: Integers
    texts: TokenIndex


@dataclass(frozen=True, slots=True)
class RowIndex:
    """Rows with their columns, task by task, the task itself before its candidates."""

    ids: IdMatrix
    tasks: Integers
    """Of each row the number of its task."""
    video_ids: IdMatrix
    of_tasks: IndexedTasks
    facets: Mapping[str, NamedColumn]
    scores: Mapping[str, ScoreColumn]
    lengths: npt.NDArray[np.uint32]
    """How many letters the thoughts of a candidate have."""
    texts: TokenIndex
    """What candidates say, by row."""

    def __len__(self) -> int:
        return len(self.ids)

    def id(self, row: int) -> Id:
        return self.ids[row].tobytes()

    def subject_kind(self, row: int) -> SubjectKind:
        return "candidate" if self.facets["subject"].name(row) == "candidate" else "task"

    def printed_id(self, row: int) -> str:
        return show(self.subject_kind(row), self.id(row))

    def video(self, row: int) -> Id:
        return self.video_ids[self.of_tasks.videos[self.tasks[row]]].tobytes()

    def task_id(self, row: int) -> Id:
        return self.of_tasks.ids[self.tasks[row]].tobytes()

    def question(self, row: int) -> str:
        return self.of_tasks.questions[int(self.tasks[row])].as_py()

    def find(self, row_id: Id) -> int | None:
        """The row with an id; of a task that is no row itself, the first of its candidates."""
        position = _position(self.ids, row_id)
        if position is not None:
            return position
        task = _position(self.of_tasks.ids, row_id)
        rows = [] if task is None else self.rows_of_task(task)
        return rows[0] if rows else None

    def rows_of_task(self, task: int) -> list[int]:
        """All rows of a task."""
        first, end = np.searchsorted(self.tasks, [task, task + 1])
        return list(range(int(first), int(end)))

    def holds_video(self, video: Id) -> bool:
        return _position(self.video_ids, video) is not None

    def of_videos(self, videos: frozenset[Id]) -> Mask:
        """The rows about some videos."""
        positions = [position for video in videos if (position := _position(self.video_ids, video)) is not None]
        return np.isin(self.of_tasks.videos, positions)[self.tasks]

    def holding(self, word: str) -> Mask:
        """The rows whose task or thoughts hold a word."""
        return self.of_tasks.texts.holding(word)[self.tasks] | self.texts.holding(word)

    def failure_counts(self) -> npt.NDArray[np.uint8]:
        """How many scores of each row are too low."""
        counts = np.zeros(len(self), np.uint8)
        for column in self.scores.values():
            counts += column.failing()
        return counts

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        arrays = (self.ids, self.tasks, self.video_ids, self.of_tasks.ids, self.of_tasks.videos, self.lengths)
        columns = (*self.facets.values(), *self.scores.values())
        return (
            sum(array.nbytes for array in arrays) + sum(column.codes.nbytes for column in columns)
            + self.of_tasks.questions.nbytes + self.of_tasks.texts.size_bytes + self.texts.size_bytes
        )  # fmt: skip


def _position(ids: IdMatrix, row_id: Id) -> int | None:
    """Where an id stands, compared by its first half first."""
    if not len(ids):
        return None
    first_halves = np.ascontiguousarray(ids).view(">u8")[:, 0]
    for position in np.flatnonzero(first_halves == int.from_bytes(row_id[:8], "big")).tolist():
        if ids[position].tobytes() == row_id:
            return position
    return None
