"""ActivityNet Captions: an object of videos, each with its duration and as many timestamps as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from dmforge.curation.sources.annotation_format import (
    AnnotationFormat,
    Companions,
    Question,
    Raw,
    RefusedQuestion,
    by_key,
    seconds,
)


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    video_name, duration_s = record["video"], float(record["duration"])
    for window_s, caption in zip_longest(record["timestamps"], record["sentences"]):
        if window_s is None or caption is None:
            yield RefusedQuestion(video_name, "no window" if window_s is None else "no question")
        else:
            yield Question(video_name, "grounding", caption, windows=(seconds(window_s),), duration_s=duration_s)


FORMAT = AnnotationFormat(
    "activitynet_captions", "json", frozenset({"duration", "timestamps", "sentences"}), questions,
    "{VID: {duration, timestamps, sentences}}", records=by_key, namespace="youtube",
)  # fmt: skip
