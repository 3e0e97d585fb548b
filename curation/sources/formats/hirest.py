"""HiREST: for each prompt the videos that may show it, where they do, and the steps in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion, seconds


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    video_name, duration_s = record["video"], float(record["v_duration"])
    if not record["relevant"]:
        yield RefusedQuestion(video_name, "not relevant")
    elif not record["clip"] or list(record["bounds"]) == [0, 0]:  # which is how it says that there are none
        yield RefusedQuestion(video_name, "no window")
    else:
        yield Question(video_name, "grounding", record["prompt"], windows=(seconds(record["bounds"]),), duration_s=duration_s)
    for recipe_step in record["steps"]:
        windows_s = (seconds(recipe_step["absolute_bounds"]),)
        yield Question(video_name, "grounding", recipe_step["heading"], windows=windows_s, duration_s=duration_s)


def records(document: Any) -> Iterator[Raw]:
    for video_prompt, record_by_video in document.items():
        for video_name, video_record in record_by_video.items():
            yield {"prompt": video_prompt, "video": video_name, **video_record}


FORMAT = AnnotationFormat(
    "hirest", "json", frozenset({"prompt", "relevant", "clip", "v_duration", "bounds", "steps"}), questions,
    "{PROMPT: {VID: {relevant, clip, v_duration, bounds, steps}}}", records=records, namespace="youtube",
)  # fmt: skip
