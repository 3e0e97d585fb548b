"""Trajectories of tool calls and groundings, in the shapes of published sets: imported exactly, linted where they stand."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.curation.sources.annotation_reader import read_questions
from dmforge.curation.sources.formats import FORMATS
from dmforge.curation.sources.importing import _candidate  # pyright: ignore[reportPrivateUsage]
from dmforge.curation.sources.published_turns import NO_DENSITY, UNREADABLE, canonical_text
from dmforge.schemas.dialects.known_dialects import dialect_of
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Task

ASKED = "<video>\nWhat colour is the lamp?\nOptions:\nA. red\nB. blue"
LAMP, DOOR = Look(Window(1200, 2000), Fraction(2)), Look(Window(3050, 3125), Fraction(1, 3))


def grounding(start: Any, end: Any, strategy: str = "fine") -> str:
    segment = {"temporal_segment": [start, end], "sampling_strategy": strategy}
    return f"<think>The lamp may be on there.</think>\n<grounding>{json.dumps(segment)}</grounding>\n"


def call(**arguments: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': 'crop_video', 'arguments': arguments})}\n</tool_call>"


def message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


OBSERVED = message("user", "Here is the refined clip:\n<video>It has 16 frames. Go on.")
ANSWER = message("assistant", "<think>It is blue, by all that I was shown.</think>\n<answer>B</answer>")
VIDEO_O3 = {
    "id": "1",
    "messages": [
        message("system", "Look closely."), message("user", ASKED), message("assistant", grounding(12.0, 20)), OBSERVED,
        message("assistant", grounding(30.5, 41.25, "coarse")), OBSERVED, ANSWER,
    ],
    "videos": [
        {"url": "d/1.mp4"}, {"url": "d/1.mp4", "crop": [12.0, 20.0], "sample": "fine"},
        {"url": "d/1.mp4", "crop": [30.5, 41.25], "sample": "coarse"},
    ],
}  # fmt: skip
IN_ONE_MESSAGE = {
    "messages": [
        message("user", ASKED),
        message(
            "assistant",
            "<think>Perhaps there.</think>" + call(video_path="d/1.mp4", start_time=12, end_time=20.00, fps=2)
            + "<tool_response>\nDone.\n</tool_response>\n<think>It is blue there.</think><answer>B</answer>",
        ),
    ],
    "videos": ["d/1.mp4"],
}  # fmt: skip
CALLS = [
    {"type": "function", "function": {"name": "crop", "arguments": json.dumps({"start": 12, "end": 20, "fps": 2})}},
    {"type": "function", "function": {"name": "crop", "arguments": {"fps": "1/3", "end": 31.25, "start": 30.5}}},
]
TOGETHER = {
    "messages": [
        message("user", ASKED), message("assistant", "<think>\nTwo places.\n</think>", tool_calls=CALLS),
        message("tool", "<video>"), message("tool", "<video>"), ANSWER,
    ],
    "videos": ["d/1.mp4", "d/1.mp4", "d/1.mp4"],
}  # fmt: skip
SHAREGPT = {
    "id": "1", "video": "d/1.mp4",
    "conversations": [
        {"from": "human", "value": ASKED}, {"from": "gpt", "value": grounding(12, 20, "medium")},
        {"from": "human", "value": "<video>"}, {"from": "gpt", "value": ANSWER["content"]},
    ],
}  # fmt: skip
MEDIUM = Look(Window(1200, 2000), Fraction(2), tokens=4096)
FINE, COARSE = Look(Window(1200, 2000), Fraction(2), tokens=6144), Look(Window(3050, 4125), Fraction(2), tokens=2048)
SHAPES: dict[str, tuple[str, dict[str, Any], str, tuple[Look, ...], tuple[int, ...]]] = {
    "Video-o3": ("llamafactory", VIDEO_O3, "grounding", (FINE, COARSE), ()),
    "one message": ("llamafactory", IN_ONE_MESSAGE, "tool", (LAMP,), ()),
    "calls in a field": ("llamafactory", TOGETHER, "tool", (LAMP, DOOR), (2,)),
    "ShareGPT": ("sharegpt_video", SHAREGPT, "grounding", (MEDIUM,), ()),
}


def read(form: str, record: dict[str, Any], folder: Path) -> list[Question | RefusedQuestion]:
    (folder / "a.jsonl").write_text(json.dumps(record) + "\n")
    return [placed.question for placed in read_questions(FORMATS[form], [folder / "a.jsonl"])]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_with_looks_is_one_question_with_its_trajectory(shape: str, tmp_path: Path) -> None:
    form, record, dialect, looks, turns = SHAPES[shape]
    (question,) = read(form, record, tmp_path)
    assert isinstance(question, Question)
    assert (question.video, question.kind, question.question) == ("d/1.mp4", "mcq", "What colour is the lamp?")
    assert (question.options, question.answer, question.flags) == (("red", "blue"), "B", ())
    trajectory = dialect_of(question.reply).parse(question.reply, 9)
    assert isinstance(trajectory, Trajectory)
    assert (dialect_of(question.reply).name, trajectory.looks, trajectory.turns) == (dialect, looks, turns)
    task = Task(b"v" * 16, "mcq", question.question, question.options, "blue", (), "any")
    candidate = _candidate(task, question.reply)
    assert (candidate.looks, candidate.answer) == (looks, "B")
    assert tuple(piece.look for piece in candidate.transcript.pieces if piece.look) == looks
    assert candidate.transcript.trajectory_text == question.reply
    assert set(candidate.transcript.segments()) == {None, "sampling", "reasoning"}


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ("<think>a</think>" + call(start_time=1, end_time=2), NO_DENSITY),
        ("<think>a</think>" + call(start_time=1, end_time=2.125, fps=2), UNREADABLE),
        ("<think>a</think>" + call(start_time=2, end_time=1, fps=2), UNREADABLE),
        ("<think>a</think>" + call(video=1, start_time=1, end_time=2, fps=2, box=[1, 2, 30, 40]), UNREADABLE),
        ("<think>a</think>" + call(start_time=1, end_time=2, fps="2.0"), UNREADABLE),
        ("<think>a</think>" + call(start_time="1", end_time=2, fps=2), UNREADABLE),
        ("<think>a</think>" + call(end_time=2, fps=2), UNREADABLE),
        ("<think>a</think><tool_call>crop(1, 2)</tool_call>", UNREADABLE),
        ("<think>a</think><tool_call>" + "[" * 10_000 + "</tool_call>", UNREADABLE),
        ("<think>a</think>so" + call(start_time=1, end_time=2, fps=2), UNREADABLE),
        ("<think>a<think></think>" + call(start_time=1, end_time=2, fps=2), UNREADABLE),
        ("<think>a <span></think>" + call(start_time=1, end_time=2, fps=2), UNREADABLE),
        (grounding(1, 2, "dense"), UNREADABLE),
        (grounding(1, float("inf")), UNREADABLE),
        (grounding(1, 10**400), UNREADABLE),
    ],
)
def test_what_cant_be_read_exactly_is_left_out_and_its_question_kept(turn: str, reason: str, tmp_path: Path) -> None:
    record = {"messages": [message("user", ASKED), message("assistant", turn), OBSERVED, ANSWER], "videos": ["d/1.mp4"]}
    (question,) = read("llamafactory", record, tmp_path)
    assert isinstance(question, Question)
    assert (question.answer, question.reply, question.flags) == ("B", "", (reason,))


@pytest.mark.parametrize("arguments", ["[" * 100_000, "no JSON", "", "3", [], {"start_time": []}])
def test_arguments_that_cant_be_read_leave_the_trajectory_out(arguments: Any, tmp_path: Path) -> None:
    calls = [{"function": {"name": "crop", "arguments": arguments}}]
    asking = message("assistant", "<think>a</think>", tool_calls=calls)
    record = {"messages": [message("user", ASKED), asking, OBSERVED, ANSWER], "videos": ["d/1.mp4"]}
    (question,) = read("llamafactory", record, tmp_path)
    assert isinstance(question, Question)
    assert (question.answer, question.reply, question.flags) == ("B", "", (UNREADABLE,))


def test_who_never_answers_has_no_answer(tmp_path: Path) -> None:
    record = {"messages": [message("user", ASKED), message("assistant", grounding(1, 2)), OBSERVED], "videos": ["d/1.mp4"]}
    (question,) = read("llamafactory", record, tmp_path)
    assert isinstance(question, Question)
    assert (question.answer, question.reply) == ("", "")
    assert UNREADABLE in question.flags


def test_several_videos_of_a_plain_conversation_stay_several(tmp_path: Path) -> None:
    record = {"messages": [message("user", ASKED), message("assistant", "B")], "videos": ["d/1.mp4", "d/1.mp4"]}
    assert read("llamafactory", record, tmp_path) == [RefusedQuestion("d/1.mp4", "several videos")]


def test_a_megabyte_of_turns_is_read_at_once() -> None:
    for text in (
        "<think>" * 150_000,
        "<tool_response>" * 70_000,
        grounding(1, 2) * 10_000,
        "<grounding>" + "[" * 1_000_000 + "</grounding>",
    ):
        begun = time.process_time()
        canonical_text([text])
        assert time.process_time() - begun < 1


def linted(path: Path, *records: object) -> list[dict[str, Any]]:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    done = CliRunner().invoke(cli.app, ["lint", str(path), "--json"])
    defects = json.loads(done.stdout)["defects"]
    assert done.exit_code == bool(defects), done.output
    return defects


def test_lint_reads_looks_of_all_dialects_and_says_what_is_wrong_with_them(tmp_path: Path) -> None:
    sound = [
        message("user", ASKED), message("assistant", grounding(12, 20)), OBSERVED, ANSWER,
    ]  # fmt: skip
    records = [{"messages": sound}, {"messages": VIDEO_O3["messages"]}, {"messages": TOGETHER["messages"]}]
    wrong = [
        *sound[:1],
        message("assistant", grounding(20, 12)),
        OBSERVED,
        message("assistant", "<think>Hm.</think>\n<answer>C</answer>"),
    ]
    records.append({"messages": wrong})
    found = linted(tmp_path / "a.jsonl", *records)
    rules = {number: {defect["rule"] for defect in found if defect["record"] == f"a.jsonl:{number}"} for number in (1, 2, 3, 4)}
    assert "record" not in set.union(*rules.values())
    assert "grammar" not in rules[1]
    assert {"grammar", "answer_form", "length"} <= rules[4]
    (grammar,) = (defect for defect in found if defect["rule"] == "grammar" and defect["record"] == "a.jsonl:2")
    assert "call_not_canonical" in grammar["message"]
    assert "12.0" in grammar["message"]
    (reversed_span,) = (defect for defect in found if defect["rule"] == "grammar" and defect["record"] == "a.jsonl:4")
    assert "span_reversed" in reversed_span["message"]
