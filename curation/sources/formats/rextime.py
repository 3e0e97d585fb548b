"""ReXTime: cause and effect across time. Where options are left out of the file, only the window can be asked for."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion, seconds


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    video_name, windows_s, duration_s = (
        record["vid"],
        tuple(map(seconds, record["relevant_windows"])),
        float(record["duration"]),
    )
    option_texts = tuple(record.get("options") or ())
    if option_texts:
        yield Question(
            video_name, "grounded_mcq", record["query"], record["ans"], option_texts, windows_s, duration_s=duration_s
        )
    else:
        flags = ("options missing",)
        yield Question(video_name, "grounding", record["query"], windows=windows_s, duration_s=duration_s, flags=flags)


FORMAT = AnnotationFormat(
    "rextime", "json", frozenset({"qid", "query", "duration", "vid", "relevant_windows", "ans"}), questions,
    "lines {qid, query, duration, vid, relevant_windows, ans, options}", namespace="youtube",
)  # fmt: skip
