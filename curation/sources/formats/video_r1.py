"""Video-R1: problems with options and a tagged solution, about videos and about pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dmforge.curation.sources.contract import Beside, Format, Question, Raw, Refused

LETTER = re.compile(r"^[A-Z][.)]\s*")
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def questions(record: Raw, beside: Beside) -> Iterator[Question | Refused]:
    del beside
    if record["data_type"] != "video":
        yield Refused(record["path"], "not a video")
        return
    found = ANSWER.search(record["solution"])
    answer = found[1] if found else record["solution"]
    if record["problem_type"] == "multiple choice":
        options = tuple(LETTER.sub("", option) for option in record["options"])
        yield Question(record["path"], "mcq", record["problem"], answer, options)
    else:
        yield Question(record["path"], "open", record["problem"], answer)


FORMAT = Format(
    "video_r1", "json", frozenset({"problem", "data_type", "problem_type", "options", "solution", "path"}), questions,
    "[{problem, data_type, problem_type, options, solution, path}]",
)  # fmt: skip
