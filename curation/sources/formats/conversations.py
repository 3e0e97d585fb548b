"""Functions for formats of conversations: exchanges of turns, the tags that stand for pictures, options in a question."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dmforge.curation.sources.annotation_format import Question
from dmforge.curation.sources.published_turns import canonical_text, dialect_of_turn, is_asking, turns_of
from dmforge.schemas.options import read_options
from dmforge.schemas.scoring import choice

NONE_OF_THEM = "answer is none of its options"
"""Flag of an open question whose text has options, none of them its answer: it may be about what is listed, or wrong."""
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
TAG = re.compile(r"<(?:video|image|audio)>\n?")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message of the user, with the assistant's turns up to the next one."""

    question: str
    turns: tuple[str, ...]
    """One, but where the assistant looks: then each ends with looks, and the last answers."""

    @property
    def looks(self) -> bool:
        """Whether the assistant looks before it answers."""
        return any(map(dialect_of_turn, self.turns))

    def as_question(self, video: str, flags: tuple[str, ...] = (), duration_s: float | None = None) -> Question:
        """The question that it is, with its trajectory where the assistant looks."""
        answer = self.turns[-1]
        if not self.looks:
            return with_options(Question(video, "open", untagged(self.question), answer, duration_s=duration_s, flags=flags))
        reply, fault = canonical_text(self.turns)
        flags = (*flags, fault) if fault else flags
        open_question = Question(
            video, "open", untagged(self.question), tagged_answer(answer) or "", duration_s=duration_s, flags=flags
        )
        return replace(with_options(open_question), reply=reply)


def exchanges(turns: Iterable[Any], role_key: str, content_key: str, user_role: str, assistant_role: str) -> Iterator[Exchange]:
    """Each message of the user, with what the assistant answers. What comes between its looks and its next turn is no message
    of a user, whatever role it has: there the tool answers."""
    question: str | None = None
    answers: list[str] = []
    for turn in turns:
        is_assistant = turn[role_key] == assistant_role
        if answers and is_asking(answers[-1]) and not is_assistant:
            continue  # the tool's answer
        if is_assistant and question is not None and (not answers or is_asking(answers[-1])):
            answers += turns_of(turn, content_key)
            continue
        if question is not None and answers:
            yield Exchange(question, tuple(answers))
        question, answers = turn[content_key] if turn[role_key] == user_role else None, []
    if question is not None and answers:
        yield Exchange(question, tuple(answers))


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
