"""Rows of problems, as EasyR1 trains on them: OneThinker, LongVideo-Reason, VideoZoomer's set for RL, and our own export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import (
    answer_text,
    answered,
    known_kind,
    target_fps,
    windows_in_json,
    windows_of,
)
from dmforge.curation.sources.formats.message_rows import CLIPS, exported_name, video_name
from dmforge.curation.sources.row_rest import with_rest

BOXES = frozenset({"spatial grounding", "spatial-temporal grounding", "tracking", "segmentation"})
"""The types of OneThinker's problems that ask for boxes or masks."""
HELD = ("problem", "videos", "images", "options")
OWN = (CLIPS, "kind", "windows", "target_windows", "target_fps")
"""Further fields of our own export."""


def _reader(answer_field: str) -> Callable[[Raw, Companions], Iterator[Question | RefusedQuestion]]:
    """Reads problems whose answer stands in this field."""

    def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
        del companions
        names, problem_type = _names(record.get("videos")), record.get("problem_type")
        if len(names) != 1 or record.get("data_type", "video") != "video":
            yield RefusedQuestion(names[0] if names else "", "several videos" if len(names) > 1 else "not a video")
        elif problem_type in BOXES:
            yield RefusedQuestion(names[0], "asks for boxes or masks")
        else:
            gold = record[answer_field]
            windows_s = windows_in_json(answer_text(gold), "time") if problem_type == "temporal grounding" else ()
            question = answered(names[0], record["problem"], list(windows_s) or gold, options=record.get("options"))
            yield with_rest(question, record, (*HELD, answer_field))

    return questions


def _names(videos: Any) -> list[str]:
    """The videos of a problem: a path, or a list of them."""
    return [video_name(video) for video in ([videos] if isinstance(videos, str) else videos or ())]


def easyr1(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    """A problem with its answer; of our own export with its windows and target as well."""
    if CLIPS not in record:
        yield from by_answer(record, companions)
        return
    (name,) = _names(record["videos"])
    question = answered(
        exported_name(name), record["problem"], record["answer"], options=record["options"], kind=known_kind(record["kind"]),
        windows=windows_of(record["windows"]),
    )  # fmt: skip
    yield with_rest(replace(question, fps=target_fps(question, record)), record, (*HELD, *OWN, "answer"))


by_answer = _reader("answer")
FORMATS = (
    AnnotationFormat(
        "easyr1", "json", frozenset({"problem", "answer", "videos"}), easyr1, "Parquet or JSON {problem, answer, videos}"
    ),
    AnnotationFormat(
        "longvideo_reason", "json", frozenset({"problem", "answer", "videos", "data_type"}), by_answer,
        "{problem, data_type, videos: PATH, answer}", namespace="youtube",
    ),
    AnnotationFormat(
        "onethinker", "json", frozenset({"problem", "answer", "data_type", "problem_type", "options", "data_source"}),
        by_answer,
        "[{problem, data_type, problem_type, options, data_source, answer, videos}]",
    ),
    AnnotationFormat(
        "videozoomer", "json", frozenset({"problem", "solution", "videos", "data_source"}), _reader("solution"),
        "[{data_source, problem, solution, videos}]: its RL set",
    ),
)  # fmt: skip
