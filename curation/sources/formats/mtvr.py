"""MTVR of VITAL: a text, and as its solution an answer, a reasoned answer, or two turns with a call between.

Calls of `get_video_clip_frame` say a window and no density: the tool shows two frames a second, four at least and 64 at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import answered, windows_and_words, windows_of
from dmforge.curation.sources.formats.conversations import tagged_answer
from dmforge.curation.sources.published_turns import FixedDensity, canonical_text
from dmforge.curation.sources.row_rest import TURNS, with_extras, with_rest

CLIP_TOOL = FixedDensity("get_video_clip_frame", Fraction(2), min_frames=4, max_frames=64)
ASKED = re.compile(r"answer the following question: (.*?)\nIn the <answer> </answer> tag", re.DOTALL)
"""The question between the words that tell how to answer it; a text in other words is the question as it is."""
HELD = ("video", "image", "text", "solution", "duration")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    video_name, solution = record.get("video"), record["solution"]
    if not video_name:
        yield RefusedQuestion(record.get("image") or "", "not a video")
        return
    turns = solution if _is_turns(solution) else []
    asked_match = ASKED.search(record["text"])
    question = _question(video_name, asked_match[1] if asked_match else record["text"], turns[-1] if turns else solution)
    duration = record.get("duration")
    question = replace(question, duration_s=None if duration is None else float(duration))
    if turns:
        reply, fault = canonical_text(turns, CLIP_TOOL)
        question = replace(question, reply=reply, flags=(fault,) if fault else ())
        question = with_extras(question, TURNS, turns if fault else [])
    rest = record if asked_match is None else {**record, "prompt": record["text"]}
    reasoned = {"reasoned": solution} if isinstance(solution, str) and tagged_answer(solution) is not None else {}
    yield with_rest(question, rest | reasoned, HELD)


def _question(video_name: str, text: str, solution: Any) -> Question:
    windows_s = windows_of(solution)
    if windows_s:
        return Question(video_name, "grounding", text, windows=windows_s)
    answer = tagged_answer(solution) or solution.strip()
    windows_s, words = windows_and_words(answer)
    if windows_s and not words:
        return Question(video_name, "grounding", text, windows=windows_s)
    return answered(video_name, text, words, windows=windows_s)


def _is_turns(solution: Any) -> bool:
    return isinstance(solution, list) and bool(solution) and all(isinstance(turn, str) for turn in solution)


FORMAT = AnnotationFormat(
    "mtvr", "json", frozenset({"text", "solution"}), questions,
    "[{id, video, text, solution, duration, data_source, tool_params}]", namespace="youtube",
)  # fmt: skip
