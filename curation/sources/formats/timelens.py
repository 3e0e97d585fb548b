"""TimeLens-100K and TimeLens2-93K: events of a video with their spans, grouped by video or one a row, as rollouts have them."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import windows_of
from dmforge.curation.sources.row_rest import with_rest

HELD = ("video_path", "duration", "events", "query", "span")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    video_name, duration = record["video_path"], record.get("duration")
    events = record.get("events", [record])
    if not events:
        yield RefusedQuestion(video_name, "no events")
    for event in events:
        question = Question(
            video_name, "grounding", event["query"], windows=windows_of(event["span"]),
            duration_s=None if duration is None else float(duration),
        )  # fmt: skip
        yield with_rest(question, {**record, **event}, HELD)


FORMATS = (
    AnnotationFormat(
        "timelens", "json", frozenset({"video_path", "events"}), questions,
        "lines {video_path, duration, source, events: [{query, span}]}",
    ),
    AnnotationFormat(
        "timelens_rollouts", "json", frozenset({"video_path", "query", "span"}), questions,
        "lines {video_path, duration, query, span, rollouts}",
    ),
)  # fmt: skip
