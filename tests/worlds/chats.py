"""Requests as a teacher's client makes them, and an oracle to send them to."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.images import to_jpeg
from dmforge.generators.annotate import announced, clip_parts, text_part
from dmforge.generators.worlds.folder import Settings, make_worlds
from dmforge.generators.worlds.imagine import knobs_of
from dmforge.generators.worlds.questions import Question, questions
from dmforge.generators.worlds.script import Script
from dmforge.schemas.frames import FramePlan, plan_coarse, plan_look
from dmforge.schemas.looks import Look
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import Task
from dmforge.schemas.replies import REPLIES, AnswerReply, LookReply
from dmforge.schemas.sizes import Size


@dataclass(frozen=True)
class Chat:
    """One request about one question."""

    script: Script
    question: Question
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
        self.folder, self.settings = folder, Settings(videos=videos, knobs=knobs_of(level))
        make_worlds(folder, self.settings)
        self.asked = [
            (number, question)
            for number in range(videos)
            for question in questions(self.settings.script(number))
            if not question.from_text
        ]
        self.images = cache(self._images)

    def look_chat(self, number: int, question: Question, size: int = 64) -> Chat:
        """The first call: the coarse clip."""
        script = self.settings.script(number)
        plan = plan_coarse(script.duration_s)
        return Chat(script, question, LookReply.name, plan, None, self.images(number, plan.times_s, size))

    def answer_chat(self, number: int, question: Question, look: Look, size: int = 64) -> Chat:
        """The second call: the closer clip."""
        script = self.settings.script(number)
        plan = plan_look(look, script.duration_s)
        return Chat(script, question, AnswerReply.name, plan, look, self.images(number, plan.times_s, size))

    def gold_chat(self, number: int, question: Question, size: int = 64) -> Chat:
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

    def _images(self, number: int, times_s: tuple[Fraction, ...], size: int) -> tuple[bytes, ...]:
        return tuple(to_jpeg(PyAV().read(self.folder / f"videos/world-{number:06d}.mp4", times_s, Size(size, size)).frames))


def blank(images: tuple[bytes, ...], size: int = 64) -> tuple[bytes, ...]:
    return tuple(to_jpeg(np.full((len(images), size, size, 3), 90, np.uint8)))
