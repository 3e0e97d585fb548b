"""ReXTime: cause and effect across time. Where options are left out of the file, only the window can be asked for."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion, seconds


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    video, windows, duration_s = record["vid"], tuple(map(seconds, record["relevant_windows"])), float(record["duration"])
    options = tuple(record.get("options") or ())
    if options:
        yield Question(video, "grounded_mcq", record["query"], record["ans"], options, windows, duration_s=duration_s)
    else:
        flags = ("options missing",)
        yield Question(video, "grounding", record["query"], windows=windows, duration_s=duration_s, flags=flags)


FORMAT = AnnotationFormat(
    "rextime", "json", frozenset({"qid", "query", "duration", "vid", "relevant_windows", "ans"}), questions,
    "lines {qid, query, duration, vid, relevant_windows, ans, options}", namespace="youtube",
)  # fmt: skip
