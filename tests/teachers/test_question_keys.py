"""A question's key says what is asked: answers of before are found where the same was asked, and only there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.lake.journal import CUT, Answer, Journal
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.question_keys import EarlierKeys, TeacherQuestion, question_key
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.replies import GuessReply

VIDEO = digest("video", 1)


async def no_parts() -> list[dict[str, Any]]:
    return []


QUESTION = TeacherQuestion(GuessReply, VIDEO, "Why?", 0, [VIDEO], ["Why?"], no_parts, 0, 0)


def earlier_key(limit: int, temperature: float = 0.7) -> Id:
    """As it was digested when the schema and the limit were part of it."""
    parameters = [GuessReply.json_schema(), "m", temperature, limit]
    return digest("ask", [*parameters, instruction("guess"), "Why?", VIDEO, 0])


def journal_with(folder: Path, answers: dict[Id, Answer]) -> Journal:
    """A journal of format 1."""
    journal = Journal(WorkspaceFolder(folder), "m")

    async def written() -> None:
        for key, answer in answers.items():

            async def ask(answer: Answer = answer) -> Answer:
                return answer

            await journal.answer(key, VIDEO, ask)
        journal.close()

    asyncio.run(written())
    return Journal(WorkspaceFolder(folder), "m", read_only=True)


def earlier_content(folder: Path, journal: Journal, **settings: Any) -> str | None:
    answer = EarlierKeys(TeacherConfig(model="m", **settings), WorkspaceFolder(folder), "guess").find(journal, QUESTION)
    return None if answer is None else answer.stored.answer["content"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "b"), ({"max_output_tokens": 9000}, "b"), ({"structured_output": "prompt", "extra_headers": {"x": "y"}}, "b"),
        ({"temperature": 0.2}, None), ({"temperature": "default"}, None), ({"reasoning": "high"}, None),
        ({"extra_body": {"top_k": 3}}, None),
    ],
)  # fmt: skip
def test_an_earlier_answer_counts_where_the_same_was_asked(
    settings: dict[str, Any], expected: str | None, tmp_path: Path
) -> None:
    contents: dict[Id, Answer] = {
        earlier_key(512): {"content": "a", "finish": CUT}, earlier_key(2048): {"content": "b", "finish": "stop"},
        earlier_key(4096): {"content": "c", "finish": "stop"},
    }  # fmt: skip
    assert earlier_content(tmp_path, journal_with(tmp_path, contents), **settings) == expected


def test_of_answers_that_were_cut_the_longest_counts(tmp_path: Path) -> None:
    contents: dict[Id, Answer] = {earlier_key(limit): {"content": str(limit), "finish": CUT} for limit in (512, 2048, 256)}
    assert earlier_content(tmp_path, journal_with(tmp_path, contents)) == "2048"


def test_a_key_holds_what_is_asked_and_not_how() -> None:
    key = question_key(TeacherConfig(model="m"), QUESTION)
    same = [{"max_output_tokens": 99}, {"structured_output": "prompt"}, {"profile": "vllm"}, {"extra_headers": {"x": "y"}}]
    others = [{"temperature": 0.2}, {"temperature": "default"}, {"reasoning": "low"}, {"extra_body": {"top_k": 3}}]
    assert {question_key(TeacherConfig(model="m", **settings), QUESTION) for settings in same} == {key}
    assert len({question_key(TeacherConfig(model="m", **settings), QUESTION) for settings in others} - {key}) == 4
