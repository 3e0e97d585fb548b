"""TimeIT: instructions whose answers name windows in words: one, or a list of steps with a window each."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion

STEP = re.compile(
    r"(\d+(?:\.\d+)?) - (\d+(?:\.\d+)?) seconds, (.*?)(?=\s+\d+(?:\.\d+)? - \d+(?:\.\d+)? seconds, |$)", re.DOTALL
)
MOMENT = re.compile(r"(\d+(?:\.\d+)?) - (\d+(?:\.\d+)?) seconds")
QUOTED = re.compile(r"'(.*)'", re.DOTALL)


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    for qa_pair in record["QA"]:
        yield from _pair_questions(record["video"], qa_pair["q"], qa_pair["a"])


def _pair_questions(video_name: str, instruction: str, answer: str) -> Iterator[Question | RefusedQuestion]:
    step_matches = STEP.findall(answer)
    for start_text, end_text, step_description in step_matches:
        yield Question(
            video_name, "grounding", step_description.strip().removesuffix("."), windows=((float(start_text), float(end_text)),)
        )
    if step_matches:
        return
    moment_match, quoted_match = MOMENT.search(answer), QUOTED.search(instruction)
    if moment_match is None:
        yield RefusedQuestion(video_name, "no window")
        return
    moment_window_s = (float(moment_match[1]), float(moment_match[2]))
    yield Question(video_name, "grounding", quoted_match[1] if quoted_match else instruction, windows=(moment_window_s,))


FORMAT = AnnotationFormat("timeit", "json", frozenset({"video", "QA"}), questions, "[{video, QA: [{q, a}]}]")
