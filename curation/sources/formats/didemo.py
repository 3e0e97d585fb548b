"""DiDeMo: a description, and from each of several annotators the first and the last of its 5-second segments."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion

SEGMENT_S = 5.0


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    windows_s = tuple(
        (first_segment * SEGMENT_S, (last_segment + 1) * SEGMENT_S) for first_segment, last_segment in record["times"]
    )
    yield Question(record["video"], "grounding", record["description"], windows=windows_s, segment_s=SEGMENT_S)


FORMAT = AnnotationFormat(
    "didemo", "json", frozenset({"num_segments", "description", "times", "video"}), questions,
    "[{video, description, times (segments of 5 s), num_segments}]", namespace="flickr",
)  # fmt: skip
