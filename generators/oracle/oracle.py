"""A request becomes a reply: seen, understood, answered, and spoilt where it was told so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from dmforge.generators.oracle.behaviour import Behaviour, spoilt
from dmforge.generators.oracle.defects import ANSWER_DEFECTS, LOOK_DEFECTS, Situation
from dmforge.generators.oracle.eyes import Gallery, Seen
from dmforge.generators.oracle.habits import Habits
from dmforge.generators.oracle.mind import (
    as_option,
    choose_answer,
    choose_given,
    choose_look,
    choose_questions,
    choose_safety,
    describe,
    guess,
    known_question,
    present,
)
from dmforge.generators.oracle.request import Asked
from dmforge.generators.worlds.folder import file_name
from dmforge.generators.worlds.questions import Question
from dmforge.schemas.replies import (
    AnswerReply,
    DescribeReply,
    GivenReply,
    GuessReply,
    LookReply,
    PresentReply,
    Reply,
    SafetyReply,
    WriteReply,
)
from dmforge.schemas.scoring import overlap_cs
from dmforge.schemas.sizes import CELL

UNSEEN = "right_answer_unseen"
"""In the truth file: a right answer from a window that doesn't show it."""
TOKEN_CHARS = 4
"""Characters of a token, about."""


@dataclass(frozen=True, slots=True)
class Said:
    """What is sent back: the text of the reply, or a refusal, and what both sides cost."""

    text: str
    refusal: str | None
    finish: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Planted:
    """A defect in a reply, for the truth file."""

    video: str
    question: str
    reply: str
    attempt: int
    defect: str


class Oracle:
    """Answers requests about the worlds of a folder."""

    def __init__(self, folder: Path, behaviour: Behaviour) -> None:
        self.gallery, self._behaviour = Gallery(folder), behaviour

    def answer(self, asked: Asked, body: bytes) -> tuple[Said, Planted | None]:
        """The reply to a request whose body is `body`."""
        if asked.reply == SafetyReply.name:
            return self._said(asked, choose_safety(asked), None), None
        unknown = self._behaviour.draw("unknown", body).random() < self._behaviour.unknown
        seen = None if unknown else self.gallery.see(asked)
        draw = self._behaviour.draw("guess", body)
        reply = _chosen(asked, seen, draw, self._behaviour.habits)
        planted = None
        question = known_question(asked, seen)
        if seen is not None and question is not None:
            situation = _situation(asked, seen, question)
            if isinstance(reply, AnswerReply) and _looks_elsewhere(situation):
                reply, defect = self._known(reply, situation, asked, self._behaviour.draw("knows", body))
            else:
                reply, defect = self._planted(reply, situation, self._behaviour.draw("defect", body))
            if defect is not None:
                planted = Planted(file_name(seen.number), asked.question, asked.reply, asked.attempt, defect)
        fault = self._behaviour.reply_fault(body)
        # what nobody can read holds no defect
        return self._said(asked, reply, fault), planted if fault in (None, "prose") else None

    def _known(self, reply: AnswerReply, situation: Situation, asked: Asked, draw: Random) -> tuple[Reply, str | None]:
        """The right answer to what isn't shown, if it knows that."""
        if draw.random() >= self._behaviour.knows:
            return reply, None
        return reply.model_copy(update={"answer": as_option(situation.answer, asked.options)}), UNSEEN

    def _planted(self, reply: Reply, situation: Situation, draw: Random) -> tuple[Reply, str | None]:
        """The reply with at most one defect."""
        if not isinstance(reply, LookReply | AnswerReply):  # defects are of windows and of answers: here is neither
            return reply, None
        planters: dict[str, Any] = {**(LOOK_DEFECTS if isinstance(reply, LookReply) else ANSWER_DEFECTS)}
        for name, rate in sorted(self._behaviour.defects.items()):
            if name in planters and draw.random() < rate:
                worse = planters[name](reply, situation, draw)
                if worse is not None:
                    return worse, name
        return reply, None

    def _said(self, asked: Asked, reply: Reply, fault: str | None) -> Said:
        text = json.dumps(reply.model_dump(), ensure_ascii=False, default=float)
        if fault is not None:
            text = spoilt(text, fault)
        cells = sum(p.shape[0] // CELL * (p.shape[1] // CELL) for pair in asked.pictures for p in pair)
        return Said(
            text=text,
            refusal="I can't help with that." if fault == "refusal" else None,
            finish="length" if fault == "truncated" else "stop",
            prompt_tokens=cells + sum(map(len, (asked.instruction, asked.text, *asked.stamps))) // TOKEN_CHARS,
            completion_tokens=len(text) // TOKEN_CHARS,
        )


def _chosen(asked: Asked, seen: Seen | None, draw: Random, habits: Habits) -> Reply:
    match asked.reply:
        case LookReply.name:
            return choose_look(asked, seen, draw, habits)
        case GivenReply.name:
            return choose_given(asked, seen, draw)
        case DescribeReply.name:
            return describe(asked, seen)
        case WriteReply.name:
            return choose_questions(asked, seen, draw)
        case GuessReply.name:
            return guess(asked, draw)
        case PresentReply.name:
            return present(asked, seen)
        case _:
            return choose_answer(asked, seen, draw)


def _looks_elsewhere(situation: Situation) -> bool:
    shown = situation.shown
    windows = situation.windows if shown is not None else ()
    return bool(windows) and not overlap_cs(() if shown is None else (shown,), windows)


def _situation(asked: Asked, seen: Seen, question: Question) -> Situation:
    return Situation(
        kind=question.kind,
        options=question.options,
        answer=question.answer,
        windows=question.windows,
        duration_cs=seen.script.duration_cs,
        stamps=asked.stamps,
        shown=asked.look.window if asked.look else None,
    )
