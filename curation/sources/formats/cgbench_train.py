"""CG-Bench as training data, and LongVideo-R1's rows: the same, with `output`, the turns of an agent that reads captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.benchmarks import cgbench
from dmforge.curation.sources.published_turns import UNREADABLE
from dmforge.curation.sources.row_rest import TURNS, with_extras, with_rest

HELD = ("video_uid", "question", "answer", "choices", "right_answer", "clue_intervals", "duration", "output")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    """The question; the agent's calls ask for captions and for answers about segments, which no look says."""
    turns = record.get("output")
    for question in cgbench(record, companions):
        if isinstance(question, Question) and isinstance(turns, list) and turns:
            question = with_extras(replace(question, flags=(*question.flags, UNREADABLE)), TURNS, turns)
        yield with_rest(question, record, HELD)


FORMAT = AnnotationFormat(
    "cgbench_train", "json", frozenset({"video_uid", "question", "choices", "right_answer", "clue_intervals"}), questions,
    "[{video_uid, question, choices, right_answer, clue_intervals, duration, output}]: as training data, and LongVideo-R1's",
    namespace="youtube",
)  # fmt: skip
