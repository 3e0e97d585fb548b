"""What is wrong with a question is told by its text: one fault each, and no text makes it fail."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.schemas.drafting import fault
from dmforge.schemas.looks import Window
from dmforge.schemas.replies import DescribeReply, QuestionType, Span, WriteReply, Written
from dmforge.schemas.reply_reader import read_reply

SPAN = Span(start_s=Decimal(3), end_s=Decimal(6))


def written(**told: Any) -> Written:
    sound: dict[str, Any] = {
        "type": "count", "form": "open", "question": "How often does the woman in red knock?", "options": (), "answer": "3",
        "windows": (SPAN,), "needs": "any", "difficulty": "easy", "fps": Decimal(2),
    }  # fmt: skip
    return Written(**sound | told)


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({}, ""),
        ({"question": "  "}, "no question"),
        ({"question": "why " * 200}, "no question"),
        ({"answer": " "}, "no answer"),
        ({"answer": "knock " * 400}, "its answer or an option is too long"),
        ({"form": "mcq", "options": ("3", "knock " * 400)}, "its answer or an option is too long"),
        ({"windows": ()}, "its window is not in the video"),
        ({"question": "What happens at 12.5 seconds?"}, "names a time"),
        ({"question": "Who comes at 1:30?"}, "names a time"),
        ({"question": "What is shown at <3.0 seconds>?"}, "names a time"),
        ({"question": "Who knocks between 3 and 5 s?"}, "names a time"),
        ({"question": "How many seconds does she knock?"}, ""),
        ({"question": "What is in the red box, a cat?", "answer": "A cat."}, "gives its answer away"),
        ({"question": "Which of the 3 men knocks?", "answer": "3"}, ""),
        ({"type": "order", "question": "Which comes first, the cat or the dog?", "answer": "the cat"}, ""),
        ({"type": "order", "question": "Does the cat come first?", "answer": "the cat"}, "gives its answer away"),
        ({"options": ("3", "4")}, "its options don't fit its form"),
        ({"form": "mcq"}, "its options don't fit its form"),
        ({"form": "mcq", "options": ("2", "4")}, "its options don't fit its form"),
        ({"form": "mcq", "options": ("3", "three", "4")}, ""),
        ({"form": "mcq", "options": ("3", " 3.", "4")}, "its options don't fit its form"),
        ({"form": "mcq", "options": ("3", "4"), "answer": "A"}, ""),
        ({"form": "grounded", "answer": "3.00 - 6.00"}, ""),
        ({"question": "How many times is the woman in red knocking?"}, "near another question of the video"),
    ],
)
def test_each_fault_is_told(told: dict[str, Any], wrong: str) -> None:
    one = written(**told)
    others = ["How often does the woman in red knock?"] if wrong.startswith("near") else []
    windows = (Window(300, 600),) if one.windows else ()
    assert fault(one, windows, True, others) == wrong


def test_what_was_not_asked_for_and_what_lies_outside_is_none() -> None:
    assert fault(written(), (Window(300, 600),), False, []) == "not asked for"
    assert fault(written(windows=(SPAN, SPAN)), (Window(300, 600),), True, []) == "its window is not in the video"


@given(st.text(), st.text(), st.lists(st.text(), max_size=6), st.sampled_from(get_args(QuestionType)))
def test_no_text_makes_it_fail(question: str, answer: str, options: list[str], kind: QuestionType) -> None:
    one = written(type=kind, form="mcq" if options else "open", question=question, answer=answer, options=tuple(options))
    assert isinstance(fault(one, (Window(300, 600),), True, [question]), str)


@given(st.text())
def test_replies_with_lists_are_read_or_refused(text: str) -> None:
    for kind in (WriteReply, DescribeReply):
        assert isinstance(read_reply(kind, text), str)


@pytest.mark.parametrize(
    "text",
    [
        '{"events": [{"start_s": 0, "end_s": 5e-99999999999999999999, "what": "a"}]}',
        '{"events": [{"start_s": 0, "end_s": 1, "what": "\\ud800"}]}',
    ],
)
def test_what_no_table_could_hold_is_unreadable(text: str) -> None:
    assert isinstance(read_reply(DescribeReply, text), str)


def test_a_schema_tells_lists_objects_and_choices() -> None:
    schema = WriteReply.json_schema()["properties"]["questions"]["items"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(schema["properties"])
    assert schema["properties"]["form"]["enum"] == ["open", "mcq", "grounded"]
    assert schema["properties"]["windows"]["items"]["properties"]["start_s"]["type"] == "number"
