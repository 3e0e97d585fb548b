"""Requests to a teacher in words alone."""

from __future__ import annotations

from typing import Any

from dmforge.generators.teacher.teacher_request import TeacherRequest
from dmforge.schemas.replies import AnswerReply, Reply


def text_request(name: str, instruction: str, text: str, attempt: int = 0, reply: type[Reply] = AnswerReply) -> TeacherRequest:
    async def parts() -> list[dict[str, Any]]:
        return [{"type": "text", "text": text}]

    return TeacherRequest(name, bytes(16), instruction, [text], parts, reply, attempt, 0, 0)
