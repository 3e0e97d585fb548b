"""Requests as a teacher's client makes them, and an oracle to send them to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.jpeg import to_jpeg
from dmforge.generators.synthetic.oracle.oracle import Oracle
from dmforge.generators.synthetic.oracle.oracle_request import read_request
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.imagine import knobs_of
from dmforge.generators.synthetic.worlds.script import Script
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, file_name, make_worlds
from dmforge.generators.synthetic.worlds.world_questions import questions
from dmforge.generators.teacher.clip_messages import announced, clip_parts, text_part
from dmforge.schemas.frames import FramePlan, plan_coarse, plan_look
from dmforge.schemas.looks import Look
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import Task
from dmforge.schemas.replies import REPLIES, AnswerReply, LookReply
from dmforge.schemas.reply_reader import read_reply
from dmforge.schemas.scoring import matches
from dmforge.schemas.sizes import Size


@dataclass(frozen=True)
class Chat:
    """One request about one question."""

    script: Script
    question: WorldQuestion
    reply: str
    plan: FramePlan
    look: Look | None
    images: tuple[bytes, ...]
    attempt: int = 0

    def body(self) -> dict[str, Any]:
        task = Task(b"0" * 16, self.question.kind, self.question.text, self.question.options, self.question.answer, (), "any")
        head = announced(self.look) if self.look else "The video lasts 12.00 seconds."
        schema = {"name": self.reply, "strict": True, "schema": REPLIES[self.reply].json_schema()}
        parts = [*clip_parts(self.plan, list(self.images)), text_part(f"{head}\n\n{question_text(task)}")]
        return {
            "model": "oracle",
            "messages": [{"role": "system", "content": "Look."}, {"role": "user", "content": parts}],
            "response_format": {"type": "json_schema", "json_schema": schema},
            "seed": self.attempt,
        }

    def bytes(self) -> bytes:
        return json.dumps(self.body()).encode()

    def showing(self, images: tuple[bytes, ...]) -> Chat:
        """The same with other pictures under the same stamps."""
        return replace(self, images=images)


class Worlds:
    """A folder of worlds, and requests about them."""

    def __init__(self, folder: Path, videos: int, level: int = 0) -> None:
        self.folder, self.settings = folder, WorldSettings(videos=videos, knobs=knobs_of(level))
        make_worlds(folder, self.settings)
        self.asked = [
            (number, question)
            for number in range(videos)
            for question in questions(self.settings.script(number))
            if not question.from_text
        ]
        self.images = cache(self._images)

    def look_chat(self, number: int, question: WorldQuestion, size: int = 64) -> Chat:
        """The first call: the coarse clip."""
        script = self.settings.script(number)
        plan = plan_coarse(script.duration_s)
        return Chat(script, question, LookReply.name, plan, None, self.images(number, plan.times_s, size))

    def answer_chat(self, number: int, question: WorldQuestion, look: Look, size: int = 64) -> Chat:
        """The second call: the closer clip."""
        script = self.settings.script(number)
        plan = plan_look(look, script.duration_s)
        return Chat(script, question, AnswerReply.name, plan, look, self.images(number, plan.times_s, size))

    def gold_chat(self, number: int, question: WorldQuestion, size: int = 64) -> Chat:
        """The second call after the best of looks."""
        script = self.settings.script(number)
        fps = question.lowest_fps(script) or Fraction(1)
        window = question.look
        if question.kind == "grounding":
            window, fps = (
                replace(window, start_cs=max(0, window.start_cs - 100), end_cs=min(1200, window.end_cs + 100)),
                Fraction(2),
            )
        return self.answer_chat(number, question, Look(window, fps), size)

    def elsewhere(self, number: int, chat: Chat) -> Chat:
        """The same stamps over pictures of another world."""
        return chat.showing(self.images((number + 7) % self.settings.videos, chat.plan.times_s, 64))

    def _images(self, number: int, times_s: tuple[Fraction, ...], size: int) -> tuple[bytes, ...]:
        return tuple(to_jpeg(PyAV().read(self.folder / "videos" / file_name(number), times_s, Size(size, size)).frames))


def blank(images: tuple[bytes, ...], size: int = 64) -> tuple[bytes, ...]:
    return tuple(to_jpeg(np.full((len(images), size, size, 3), 90, np.uint8)))


def answered(oracle: Oracle, chat: Chat) -> str:
    """What the oracle answers to the second call."""
    body = chat.bytes()
    said, _ = oracle.answer(read_request(body), body)
    reply = read_reply(AnswerReply, said.text)
    assert isinstance(reply, AnswerReply)
    return reply.answer


def is_right(chat: Chat, answer: str) -> bool:
    return matches(answer, chat.question.answer, chat.question.options)


def right_share(oracle: Oracle, chats: Sequence[Chat]) -> float:
    """How many of so many answers are gold."""
    return sum(is_right(chat, answered(oracle, chat)) for chat in chats) / len(chats)


def chance(question: WorldQuestion) -> float:
    """What a guess in the form of the answer gets at most."""
    if question.options:
        return 1 / len(question.options)
    return {"When": 1 / 9, "How ": 1 / 5}.get(question.text[:4], 1 / 4)
