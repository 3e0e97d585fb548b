"""QVHighlights, and JSON lines that look like it: a query a line, with every window that shows it."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion, seconds


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    windows_s = tuple(map(seconds, record.get("relevant_windows") or ()))  # the test split has none
    yield Question(record["vid"], "grounding", record["query"], windows=windows_s, duration_s=float(record["duration"]))


FORMAT = AnnotationFormat(
    "qvhighlights", "json", frozenset({"qid", "query", "duration", "vid"}), questions,
    "lines {qid, query, duration, vid, relevant_windows}", namespace="youtube",
)  # fmt: skip
