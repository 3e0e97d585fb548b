"""A stage stops asking where none of its first twelve replies can be read: of those that were read, not of those that came."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from dmforge.curation.contract.budget import Budget
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.interview import FIRST_REPLIES, Interview, UnreadableReply
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import Transient
from dmforge.schemas.ids import digest
from dmforge.schemas.replies import AnswerReply
from tests.teachers.endpoint import GOOD, Reply, Script, server, status

AT_ONCE = FIRST_REPLIES + 4
VIDEO = digest("video", "one")
READABLE, UNREADABLE = '{"thought": "So.", "answer": "two"}', '{"thought": "So'


def completion(content: str) -> Reply:
    return status(200, {**GOOD, "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": content}}]})


def outcomes_of(place: Path, script: Script) -> list[type[object]]:
    """What becomes of some questions at once, and of one that follows."""

    async def ask_all(url: str) -> list[type[object]]:
        config = TeacherConfig(model="m", base_url=url)
        interview = Interview(WorkspaceFolder(place), config, Clips(), "annotate", Budget())
        asks = [interview.ask_text(AnswerReply, VIDEO, f"Which of {number}?", 0) for number in range(AT_ONCE)]
        outcomes = await asyncio.gather(*asks, return_exceptions=True)
        outcomes += await asyncio.gather(interview.ask_text(AnswerReply, VIDEO, "Which?", 0), return_exceptions=True)
        await interview.aclose()
        return [type(outcome) for outcome in outcomes]

    with server(script) as url:
        return asyncio.run(ask_all(url))


def test_one_that_cannot_be_read_stops_nothing_though_many_came_before_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow disk: a reply is read once it is there."""
    script = Script(completion(UNREADABLE), completion(READABLE))

    def slow_fsync(_: int) -> None:
        while 0 < len(script.asked) < AT_ONCE:
            time.sleep(0.01)
        time.sleep(0.1)

    monkeypatch.setattr(os, "fsync", slow_fsync)
    outcomes = outcomes_of(tmp_path, script)
    assert (outcomes.count(UnreadableReply), outcomes.count(Transient)) == (1, 0)


def test_none_that_can_be_read_stops_the_stage(tmp_path: Path) -> None:
    assert outcomes_of(tmp_path, Script(completion(UNREADABLE)))[-1] is Transient
