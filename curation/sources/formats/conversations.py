"""What formats of conversations share: pairs of turns, the tags that stand for pictures, and options in a question's text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

from dmforge.curation.sources.contract import Question
from dmforge.schemas.options import read_options
from dmforge.schemas.scoring import choice

NONE_OF_THEM = "answer is none of its options"
"""Flag of an open question that carries a list: it may be a caption of what is listed, or wrong."""
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
TAG = re.compile(r"<(?:video|image|audio)>\n?")


def pairs(turns: Iterable[Any], role: str, content: str, user: str, assistant: str) -> Iterator[tuple[str, str]]:
    """Each thing that a user says, with what is answered."""
    for asked, answered in pairwise(turns):
        if asked[role] == user and answered[role] == assistant:
            yield asked[content], answered[content]


def untagged(text: str) -> str:
    """A text without the tags."""
    return TAG.sub("", text)


def tagged_answer(text: str) -> str | None:
    """What stands between the tags of an answer."""
    found = ANSWER.search(text)
    return found[1].strip() if found else None


def with_options(asked: Question) -> Question:
    """An open question, as multiple choice where its text carries options and its answer is one of them."""
    choices = read_options(asked.question)
    if not choices.options:
        return asked
    tagged = tagged_answer(asked.answer)
    answer = asked.answer if tagged is None else tagged
    if choice(answer, choices.options) is None:
        return replace(asked, flags=(*asked.flags, NONE_OF_THEM))
    kind = "grounded_mcq" if asked.windows else "mcq"
    return replace(asked, kind=kind, question=choices.question, options=choices.options, answer=answer)
