"""Video-o3's Seeker for RL: questions whose ground truth has the answer and the clues that show it. For SFT: `llamafactory`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import answered, windows_of
from dmforge.curation.sources.row_rest import with_rest

GROUNDING = "temporal_grounding"
"""The data source of events to be found; the others ask questions."""
HELD = ("video", "question", "problem", "options", "answer", "solution")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    truth: Any = record["solution"] if "solution" in record else record["answer"]
    clues = truth.get("clue") or () if isinstance(truth, dict) else ()
    windows_s = windows_of([clue["timestamp"] if isinstance(clue, dict) else clue for clue in clues])
    gold = truth.get("answer") if isinstance(truth, dict) else truth
    is_grounding = record["data_source"] == GROUNDING
    question = answered(
        record["video"], record["problem"] if is_grounding or "question" not in record else record["question"],
        list(windows_s) if is_grounding else gold, options=_options(record.get("options")), windows=windows_s,
        kind="grounding" if is_grounding else None,
    )  # fmt: skip
    yield with_rest(question, record, HELD)


def _options(options: Any) -> list[str]:
    """Options: a list, or lines of one text."""
    return options.splitlines() if isinstance(options, str) else list(options or ())


FORMAT = AnnotationFormat(
    "seeker", "json", frozenset({"data_source", "video"}), questions,
    "[{data_source, video, question, options, answer: {answer, clue: [{timestamp}]}}]: Video-o3 for RL",
)  # fmt: skip
