"""NExT-QA: multiple choice in CSV, the answer the number of an option."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.task_checks import right_option


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    option_texts = tuple(record[f"a{option_index}"] for option_index in range(5))
    yield right_option(Question(record["video"], "mcq", record["question"], options=option_texts), int(record["answer"]))


FORMAT = AnnotationFormat(
    "nextqa", "csv", frozenset({"video", "question", "answer", "qid", "a0", "a1", "a2", "a3", "a4"}), questions,
    "CSV: video, question, answer (a number), a0 to a4, qid", namespace="vidor",
)  # fmt: skip
