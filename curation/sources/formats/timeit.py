"""TimeIT: instructions whose answers name windows in words: one, or a list of steps with a window each."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dmforge.curation.sources.contract import Companions, Format, Question, Raw, Refused

STEP = re.compile(
    r"(\d+(?:\.\d+)?) - (\d+(?:\.\d+)?) seconds, (.*?)(?=\s+\d+(?:\.\d+)? - \d+(?:\.\d+)? seconds, |$)", re.DOTALL
)
MOMENT = re.compile(r"(\d+(?:\.\d+)?) - (\d+(?:\.\d+)?) seconds")
QUOTED = re.compile(r"'(.*)'", re.DOTALL)


def questions(record: Raw, companions: Companions) -> Iterator[Question | Refused]:
    del companions
    for pair in record["QA"]:
        yield from _pair_questions(record["video"], pair["q"], pair["a"])


def _pair_questions(video: str, instruction: str, answer: str) -> Iterator[Question | Refused]:
    steps = STEP.findall(answer)
    for start, end, description in steps:
        yield Question(video, "grounding", description.strip().removesuffix("."), windows=((float(start), float(end)),))
    if steps:
        return
    moment, quoted = MOMENT.search(answer), QUOTED.search(instruction)
    if moment is None:
        yield Refused(video, "no window")
        return
    window = (float(moment[1]), float(moment[2]))
    yield Question(video, "grounding", quoted[1] if quoted else instruction, windows=(window,))


FORMAT = Format("timeit", "json", frozenset({"video", "QA"}), questions, "[{video, QA: [{q, a}]}]")
