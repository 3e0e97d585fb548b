"""STAR: questions about situations in Charades, with the stretch that they are about and four choices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    option_texts = tuple(choice["choice"] for choice in record["choices"])
    window_s = (float(record["start"]), float(record["end"]))
    yield Question(record["video_id"], "grounded_mcq", record["question"], record["answer"], option_texts, (window_s,))


def records(document: Any) -> Iterable[Raw]:
    return [document] if isinstance(document, dict) else document


FORMAT = AnnotationFormat(
    "star", "json", frozenset({"question_id", "question", "video_id", "start", "end", "choices"}), questions,
    "[{question_id, question, video_id, start, end, answer, choices}]", records=records, namespace="charades",
)  # fmt: skip
