"""Answers requests as an oracle: recognise the world, choose a reply, and plant defects and faults as configured."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from dmforge.generators.synthetic.oracle.answering import (
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
from dmforge.generators.synthetic.oracle.behaviour import Behaviour, spoilt
from dmforge.generators.synthetic.oracle.habits import Habits
from dmforge.generators.synthetic.oracle.oracle_request import OracleRequest
from dmforge.generators.synthetic.oracle.planted_defects import ANSWER_DEFECTS, LOOK_DEFECTS, DefectContext
from dmforge.generators.synthetic.oracle.recognition import SeenFrames, WorldGallery
from dmforge.generators.synthetic.oracle.several_places import choose_answer_of_several, choose_first, choose_step
from dmforge.generators.synthetic.oracle.step_defects import STEP_DEFECTS
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.world_folder import file_name
from dmforge.schemas.replies import (
    AnswerReply,
    DescribeReply,
    FinalReply,
    FirstReply,
    GivenReply,
    GuessReply,
    LookReply,
    PresentReply,
    Reply,
    SafetyReply,
    StepReply,
    WriteReply,
)
from dmforge.schemas.scoring import overlap_cs
from dmforge.schemas.sizes import CELL

UNSEEN = "right_answer_unseen"
"""The name, in the truth file, of a right answer from a window that doesn't show it."""
TOKEN_CHARS = 4
"""Characters in a token, about."""
LIMIT = re.compile(rb'"max_(completion_)?tokens": ?[0-9]+')


@dataclass(frozen=True, slots=True)
class OracleReply:
    """A response: the text of the reply, or a refusal, with the tokens of both sides."""

    text: str
    refusal: str | None
    finish: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class PlantedDefect:
    """A defect that was planted in a reply, as a line of the truth file."""

    video: str
    question: str
    reply: str
    attempt: int
    defect: str


class Oracle:
    """Answers requests about the worlds of a folder."""

    def __init__(self, worlds_folder: Path, behaviour: Behaviour) -> None:
        self.gallery, self._behaviour = WorldGallery(worlds_folder), behaviour

    def answer(self, request: OracleRequest, body: bytes) -> tuple[OracleReply, PlantedDefect | None]:
        """The response to a request, and the defect in it, if one was planted. `body` decides all chance, but for its limit of
        tokens: a client may raise that with what it met before, and the answer may not depend on the order of questions."""
        body = LIMIT.sub(b"", body)
        if request.reply == SafetyReply.name:
            return self._response(request, choose_safety(request), None), None
        is_unknown = self._behaviour.draw("unknown", body).random() < self._behaviour.unknown
        view = None if is_unknown else self.gallery.see(request)
        rng = self._behaviour.draw("guess", body)
        reply = _choose_reply(request, view, rng, self._behaviour.habits)
        planted_defect = None
        world_question = known_question(request, view)
        if view is not None and world_question is not None:
            defect_context = _situation(request, view, world_question)
            if _answers(reply) and _looks_elsewhere(defect_context):
                reply, defect_name = self._with_memory(reply, defect_context, request, self._behaviour.draw("knows", body))
            else:
                reply, defect_name = self._with_defect(reply, defect_context, self._behaviour.draw("defect", body))
            if defect_name is not None:
                planted_defect = PlantedDefect(
                    file_name(view.world_index), request.question, request.reply, request.attempt, defect_name
                )
        reply_fault = self._behaviour.reply_fault(body)
        # an unreadable reply holds no defect
        return self._response(request, reply, reply_fault), planted_defect if reply_fault in (None, "prose") else None

    def _with_memory(
        self, reply: Reply, situation: DefectContext, request: OracleRequest, rng: Random
    ) -> tuple[Reply, str | None]:
        """The right answer to what isn't shown, in the configured share of requests."""
        if rng.random() >= self._behaviour.knows:
            return reply, None
        return reply.model_copy(update={"answer": as_option(situation.answer, request.options)}), UNSEEN

    def _with_defect(self, reply: Reply, situation: DefectContext, rng: Random) -> tuple[Reply, str | None]:
        """The reply with at most one defect, and the defect's name."""
        planter_by_defect: dict[str, Any] = {}  # defects are planted in windows and answers: other replies have neither
        planter_by_defect |= LOOK_DEFECTS if isinstance(reply, LookReply) else {}
        planter_by_defect |= STEP_DEFECTS if isinstance(reply, StepReply) else {}
        planter_by_defect |= ANSWER_DEFECTS if _answers(reply) else {}
        for defect_name, defect_rate in sorted(self._behaviour.defects.items()):
            if defect_name in planter_by_defect and rng.random() < defect_rate:
                defective_reply = planter_by_defect[defect_name](reply, situation, rng)
                if defective_reply is not None:
                    return defective_reply, defect_name
        return reply, None

    def _response(self, request: OracleRequest, reply: Reply, reply_fault: str | None) -> OracleReply:
        reply_text = json.dumps(reply.model_dump(), ensure_ascii=False, default=float)
        if reply_fault is not None:
            reply_text = spoilt(reply_text, reply_fault)
        visual_tokens = sum(
            pair_picture.shape[0] // CELL * (pair_picture.shape[1] // CELL)
            for picture_pair in request.pictures
            for pair_picture in picture_pair
        )
        return OracleReply(
            text=reply_text,
            refusal="I can't help with that." if reply_fault == "refusal" else None,
            finish="length" if reply_fault == "truncated" else "stop",
            prompt_tokens=visual_tokens + sum(map(len, (request.instruction, request.text, *request.stamps))) // TOKEN_CHARS,
            completion_tokens=len(reply_text) // TOKEN_CHARS,
        )


def _choose_reply(request: OracleRequest, view: SeenFrames | None, rng: Random, habits: Habits) -> Reply:
    match request.reply:
        case LookReply.name:
            return choose_look(request, view, rng, habits)
        case FirstReply.name:
            return choose_first(request, view, rng, habits)
        case StepReply.name:
            return choose_step(request, view, rng, habits)
        case FinalReply.name:
            return choose_answer_of_several(request, view, rng)
        case GivenReply.name:
            return choose_given(request, view, rng)
        case DescribeReply.name:
            return describe(request, view)
        case WriteReply.name:
            return choose_questions(request, view, rng)
        case GuessReply.name:
            return guess(request, rng)
        case PresentReply.name:
            return present(request, view)
        case _:
            return choose_answer(request, view, rng)


def _answers(reply: Reply) -> bool:
    """Whether a reply is an answer; a step may be one, or look again."""
    return isinstance(reply, AnswerReply) or (isinstance(reply, StepReply) and not reply.looks)


def _looks_elsewhere(situation: DefectContext) -> bool:
    gold_windows = situation.windows if situation.shown_windows else ()
    return bool(gold_windows) and not overlap_cs(situation.shown_windows, gold_windows)


def _situation(request: OracleRequest, view: SeenFrames, question: WorldQuestion) -> DefectContext:
    return DefectContext(
        kind=question.kind,
        options=question.options,
        answer=question.answer,
        windows=question.windows,
        duration_cs=view.script.duration_cs,
        stamps=request.stamps,
        shown_windows=request.shown_windows,
    )
