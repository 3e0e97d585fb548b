"""Time-R1: a sentence, its window and the length of the clip that is meant."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion, seconds


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    windows_s = (seconds(record["timestamp"]),)
    yield Question(record["video"], "grounding", record["sentence"], windows=windows_s, duration_s=float(record["duration"]))


FORMAT = AnnotationFormat(
    "time_r1", "json", frozenset({"video", "duration", "timestamp", "sentence", "qid"}), questions,
    "[{video, duration, timestamp, sentence, qid}]", namespace="youtube",
)  # fmt: skip
