"""The questions of a workspace that are nearly the same, as tables for named questions."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from dmforge.curation.audit.kept_rows import video_copies
from dmforge.curation.audit.query import Tables
from dmforge.curation.lake.views import LakeView, interruptible
from dmforge.filters.near_questions import AskedQuestion, NearQuestions
from dmforge.schemas.columns import id_list
from dmforge.schemas.ids import Id

VECTORS = "question_vectors"
"""The table of the stage `embed`; only recipes with it have one."""


def near_question_tables(view: LakeView) -> Tables:
    """The near pairs and groups of a view's tasks, worked out once."""

    @cache
    def near_questions() -> NearQuestions:
        with interruptible():
            return NearQuestions(_questions(view), _vectors(view))

    return {
        "near_task_pairs": lambda: near_questions().pair_table(),
        "near_task_groups": lambda: near_questions().member_table(),
    }


def _questions(view: LakeView) -> list[AskedQuestion]:
    """All questions by their ids; a video that is a copy counts as the one that it is a copy of."""
    cursor = view.cursor("tasks verdicts")
    copies = video_copies(cursor)
    originals: dict[Id, Id] = dict(zip(id_list(copies["video"]), id_list(copies["original"]), strict=True))
    rows: list[tuple[Id, Id, str]] = cursor.execute("SELECT id, video, question FROM tasks ORDER BY id").fetchall()
    return [AskedQuestion(task, originals.get(video, video), question) for task, video, question in rows]


def _vectors(view: LakeView) -> dict[Id, npt.NDArray[np.float32]]:
    """The vectors of questions, of length one, where there are any."""
    if VECTORS not in view.selects():
        return {}
    table = view.cursor(VECTORS).sql(f"SELECT task, values FROM {VECTORS} ORDER BY task").to_arrow_table()
    if not len(table):
        return {}
    matrix = table["values"].combine_chunks().flatten().to_numpy().reshape(len(table), -1).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return dict(zip(id_list(table["task"]), matrix, strict=True))
