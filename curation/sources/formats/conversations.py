"""Functions for formats of conversations: exchanges of turns, the tags that stand for pictures, options in a question."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dmforge.curation.sources.annotation_format import Question
from dmforge.curation.sources.published_turns import (
    FixedDensity,
    asks_in_span,
    canonical_text,
    dialect_of_turn,
    is_asking,
    span_text,
    turns_of,
)
from dmforge.curation.sources.row_rest import TURNS, with_extras
from dmforge.schemas.looks import read_span
from dmforge.schemas.options import read_options
from dmforge.schemas.scoring import choice

NONE_OF_THEM = "answer is none of its options"
"""Flag of an open question whose text has options, none of them its answer: it may be about what is listed, or wrong."""
NOBODY_ANSWERS = "nobody answers"
"""Why a conversation in which no question has an answer is no task."""
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
VIDEO = "<video>"
"""Stands for a clip in a text."""
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
        return any(map(dialect_of_turn, self.turns)) or self._is_in_spans

    @property
    def _is_in_spans(self) -> bool:
        return len(self.turns) > 1 and asks_in_span(self.turns[0])

    def as_question(
        self,
        video: str,
        flags: tuple[str, ...] = (),
        duration_s: float | None = None,
        fixed_density: FixedDensity | None = None,
    ) -> Question:
        """The question that it is, with its trajectory where the assistant looks; its turns where that is none of ours."""
        answer = self.turns[-1]
        if not self.looks:
            return with_options(Question(video, "open", untagged(self.question), answer, duration_s=duration_s, flags=flags))
        reply, fault = span_text(self.turns, VIDEO) if self._is_in_spans else canonical_text(self.turns, fixed_density)
        flags = (*flags, fault) if fault else flags
        final_answer = tagged_answer(answer) or ""
        windows_s = canonical_windows(final_answer)
        question = Question(video, "grounding", untagged(self.question), windows=windows_s, duration_s=duration_s, flags=flags)
        if not windows_s:
            question = with_options(replace(question, kind="open", answer=final_answer))
        return with_extras(replace(question, reply=reply), TURNS, list(self.turns) if fault else [])


def exchanges(turns: Iterable[Any], role_key: str, content_key: str, user_role: str, assistant_role: str) -> Iterator[Exchange]:
    """Each message of the user, with what the assistant answers. What comes between its looks and its next turn is no message
    of a user, whatever role it has: there the tool answers."""
    question: str | None = None
    answers: list[str] = []
    for turn in turns:
        is_assistant = turn[role_key] == assistant_role
        if answers and _goes_on(answers[-1]) and not is_assistant:
            continue  # the tool's answer
        if is_assistant and question is not None and (not answers or _goes_on(answers[-1])):
            answers += turns_of(turn, content_key)
            continue
        if question is not None and answers:
            yield Exchange(question, tuple(answers))
        question, answers = turn[content_key] if turn[role_key] == user_role else None, []
    if question is not None and answers:
        yield Exchange(question, tuple(answers))


def _goes_on(turn: str) -> bool:
    """Whether the assistant has another turn after the runtime's answer to this one."""
    return is_asking(turn) or asks_in_span(turn)


def canonical_windows(text: str) -> tuple[tuple[float, float], ...]:
    """The windows that an answer names as ours do, `3.00 - 5.50, 8.00 - 9.00`; none where it says something else."""
    bounds_cs = [read_span(span) for span in text.strip().split(", ")]
    return tuple((bounds[0] / 100, bounds[1] / 100) for bounds in bounds_cs if bounds) if all(bounds_cs) else ()


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
