"""Functions for formats of conversations: pairs of turns, the tags that stand for pictures, options in a question's text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

from dmforge.curation.sources.annotation_format import Question
from dmforge.schemas.options import read_options
from dmforge.schemas.scoring import choice

NONE_OF_THEM = "answer is none of its options"
"""Flag of an open question whose text has options, none of them its answer: it may be about what is listed, or wrong."""
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
TAG = re.compile(r"<(?:video|image|audio)>\n?")


def pairs(
    chat_turns: Iterable[Any], role_key: str, content_key: str, user_role: str, assistant_role: str
) -> Iterator[tuple[str, str]]:
    """Each message of the user, with the assistant's reply."""
    for user_turn, next_turn in pairwise(chat_turns):
        if user_turn[role_key] == user_role and next_turn[role_key] == assistant_role:
            yield user_turn[content_key], next_turn[content_key]


def untagged(text: str) -> str:
    """A text without the tags of videos, images and audio."""
    return TAG.sub("", text)


def tagged_answer(text: str) -> str | None:
    """The text between the tags of an answer, None where there are none."""
    answer_match = ANSWER.search(text)
    return answer_match[1].strip() if answer_match else None


def with_options(question: Question) -> Question:
    """An open question, turned into multiple choice where its text has options and its answer is one of them."""
    question_and_options = read_options(question.question)
    if not question_and_options.options:
        return question
    tagged_text = tagged_answer(question.answer)
    untagged_answer = question.answer if tagged_text is None else tagged_text
    if choice(untagged_answer, question_and_options.options) is None:
        return replace(question, flags=(*question.flags, NONE_OF_THEM))
    task_kind = "grounded_mcq" if question.windows else "mcq"
    return replace(
        question,
        kind=task_kind,
        question=question_and_options.question,
        options=question_and_options.options,
        answer=untagged_answer,
    )
