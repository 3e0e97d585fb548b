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
    for pair in record["QA"]:
        yield from _pair_questions(record["video"], pair["q"], pair["a"])


def _pair_questions(video: str, instruction: str, answer: str) -> Iterator[Question | RefusedQuestion]:
    steps = STEP.findall(answer)
    for start, end, description in steps:
        yield Question(video, "grounding", description.strip().removesuffix("."), windows=((float(start), float(end)),))
    if steps:
        return
    moment, quoted = MOMENT.search(answer), QUOTED.search(instruction)
    if moment is None:
        yield RefusedQuestion(video, "no window")
        return
    window = (float(moment[1]), float(moment[2]))
    yield Question(video, "grounding", quoted[1] if quoted else instruction, windows=(window,))


FORMAT = AnnotationFormat("timeit", "json", frozenset({"video", "QA"}), questions, "[{video, QA: [{q, a}]}]")
