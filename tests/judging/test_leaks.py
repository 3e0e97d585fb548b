"""A thought that treats the answer as known beforehand is found; one that sees it told in the video is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmforge.filters.rules.leaks import unleaked
from dmforge.filters.rules.rule import RuleInput
from dmforge.generators.synthetic.oracle.planted_defects import LEAKS, SPAN_LEAKS
from tests.judging import thoughts

BOOK = RuleInput("", "mcq", "What does the woman pick up?", ("cup", "phone", "book", "keys"), "book")
QUIZ = RuleInput("", "open", "Which answer does the contestant give?", gold="Rome")
PAINT = RuleInput("", "open", "Which colour do blue and yellow paint give when they are mixed?", gold="green")
BOAT = RuleInput("", "grounding", "When does the boat leave the pier?", gold="30.50 - 36.00")


def thinking(base: RuleInput, first: str = "A room with a shelf.", second: str = "She turns to the left.") -> RuleInput:
    answer = "C" if base is BOOK else base.gold
    text = f"<think>{first} <span>30.00 - 37.00</span><fps>2</fps>{second}</think><answer>{answer}</answer>"
    return replace(base, text=text)


def test_of_the_thoughts_that_it_was_made_on_six_in_seven_leaks_are_found_and_hardly_any_falsely() -> None:
    written = thoughts.read(*thoughts.DEV)
    assert [sum(thought.leaks is leaks for thought in written) for leaks in (True, False)] == [550, 550]
    assert len(thoughts.missed(written)) <= 80
    assert len(thoughts.falsely_found(written)) <= 2


@pytest.mark.xfail(strict=True, reason="82 of 100 caught, 15 of 500 falsely: words that the rule has not met pass it by")
def test_of_thoughts_by_another_hand_nearly_all_leaks_are_found_and_nearly_nothing_falsely() -> None:
    written = thoughts.read(thoughts.HELD_OUT)
    leaks = sum(thought.leaks for thought in written)
    assert len(thoughts.missed(written)) <= 0.05 * leaks
    assert len(thoughts.falsely_found(written)) <= 3 / 500 * (len(written) - leaks)


def test_of_thoughts_by_another_hand_as_many_leaks_are_found_as_when_they_were_scored() -> None:
    """Once, when the rule was finished: a rule of sentences caught 7 of these 100, and 9 of 500 falsely."""
    written = thoughts.read(thoughts.HELD_OUT)
    assert len(thoughts.missed(written)) <= 18
    assert len(thoughts.falsely_found(written)) <= 15


@pytest.mark.parametrize("leak", [*LEAKS, *SPAN_LEAKS])
@pytest.mark.parametrize("where", ["first", "second"])
def test_what_the_oracle_plants_is_found(leak: str, where: str) -> None:
    base, answer = (BOAT, BOAT.gold) if leak in SPAN_LEAKS else (BOOK, "book")
    assert not unleaked(thinking(base, **{where: leak.format(answer=answer)})).score


@pytest.mark.parametrize(
    ("base", "thoughts_of"),
    [
        (BOOK, {"first": "The prompt says that it is the book, so I look at the shelf."}),
        (BOOK, {"first": "C has been handed to me as the right pick."}),
        (BOOK, {"second": "It could be a box, but C is the choice I was told to defend."}),
        (BOOK, {"second": "That squares with the solution on file."}),
        (PAINT, {"second": "The correct answer is given as green, so this is what I am looking for."}),
        (BOAT, {"first": "The window was set beforehand: 30.5 to 36 seconds."}),
        (BOAT, {"second": "I would have ended at 37, yet the annotated interval ends at 36."}),
    ],
)
def test_who_was_told_the_answer_leaks(base: RuleInput, thoughts_of: dict[str, str]) -> None:
    assert not unleaked(thinking(base, **thoughts_of)).score


@pytest.mark.parametrize(
    ("base", "thoughts_of"),
    [
        (BOOK, {"first": "It may be the book, option C, but I can't see her hand."}),
        (BOOK, {"first": "The frames I was given don't show her hand.", "second": "It has pages, so the right answer is C."}),
        (BOOK, {"second": "All other options are ruled out by these frames, which makes C the correct answer."}),
        (BOOK, {"second": "The label on the spine says 'Annotated Poems', so it is a book."}),
        (
            QUIZ,
            {"first": "The host is given the correct answer on a card.", "second": "The contestant has given the answer Rome."},
        ),
        (BOAT, {"first": "The departure must lie between 28 and 38 seconds.", "second": "So the interval is 30.5 to 36.0."}),
    ],
)
def test_who_saw_it_told_in_the_video_or_concludes_it_does_not(base: RuleInput, thoughts_of: dict[str, str]) -> None:
    assert unleaked(thinking(base, **thoughts_of)).score == 1


def test_a_leak_is_found_at_its_clause() -> None:
    judged = thinking(
        BOOK, second="She holds something flat \u2013 \u0130 think \u2013 and the ground truth says C. It has pages."
    )
    (fault,) = unleaked(judged).faults
    assert "ground truth" in judged.text[fault.start : fault.end]
    assert "pages" not in judged.text[fault.start : fault.end]
