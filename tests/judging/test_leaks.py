"""A thought that treats the answer as known beforehand is found; one that sees it told in the video is not."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest

from dmforge.filters.rules.leaks import unleaked, weights
from dmforge.filters.rules.rule import RuleInput
from dmforge.generators.synthetic.oracle.planted_defects import LEAKS, SPAN_LEAKS
from tests.judging import thoughts
from tools import leak_weights

BOOK = RuleInput("", "mcq", "What does the woman pick up?", ("cup", "phone", "book", "keys"), "book")
QUIZ = RuleInput("", "open", "Which answer does the contestant give?", gold="Rome")
PAINT = RuleInput("", "open", "Which colour do blue and yellow paint give when they are mixed?", gold="green")
BOAT = RuleInput("", "grounding", "When does the boat leave the pier?", gold="30.50 - 36.00")


def thinking(base: RuleInput, first: str = "A room with a shelf.", second: str = "She turns to the left.") -> RuleInput:
    answer = "C" if base is BOOK else base.gold
    text = f"<think>{first} <span>30.00 - 37.00</span><fps>2</fps>{second}</think><answer>{answer}</answer>"
    return replace(base, text=text)


@pytest.fixture(scope="module")
def sample() -> list[thoughts.Thought]:
    """Every twentieth thought that the weights were fitted to."""
    return thoughts.read(*thoughts.DEV)[::20]


def test_of_the_thoughts_that_its_weights_were_fitted_to_nearly_all_leaks_are_found_and_hardly_any_falsely(
    sample: list[thoughts.Thought],
) -> None:
    leaks = sum(thought.leaks for thought in sample)
    assert leaks > 45
    assert len(thoughts.missed(sample)) <= 0.05 * leaks
    assert len(thoughts.falsely_flagged(sample)) <= 1


def test_the_weights_are_those_of_the_data_that_lie_here() -> None:
    """A change of the data needs `python -m tools.leak_weights`, which takes some minutes."""
    text = leak_weights.FILE.read_text("utf-8")
    assert text.splitlines()[0].endswith(leak_weights.data_digest())
    assert text == leak_weights.file_text(weights())


def test_the_fit_is_the_same_each_time_and_learns(sample: list[thoughts.Thought]) -> None:
    """By a fit to a few thoughts; `python -m benchmarks.leaks` leaves out each writer in turn."""
    fitted_to, left_out = sample[:50], sample[50:80]
    examples = leak_weights.examples_of(fitted_to)
    table = leak_weights.weight_table(examples)
    assert table == leak_weights.weight_table(examples)
    scores = leak_weights.trajectory_scores(leak_weights.examples_of(left_out), table, len(left_out))
    leaks = [score for thought, score in zip(left_out, scores, strict=True) if thought.leaks]
    sound = [score for thought, score in zip(left_out, scores, strict=True) if not thought.leaks]
    assert median(leaks) > median(sound)


@pytest.fixture(scope="module")
def held_out() -> tuple[int, int]:
    """By a tenth writer, scored once: how many of 100 leaks are missed, how many of 500 sound thoughts are flagged."""
    written = thoughts.read(thoughts.HELD_OUT)
    assert [sum(thought.leaks is leaks for thought in written) for leaks in (True, False)] == [100, 500]
    return len(thoughts.missed(written)), len(thoughts.falsely_flagged(written))


@pytest.mark.xfail(strict=True, reason="92 of 100 caught, 7 of 500 falsely: it weighs words, and doesn't understand them")
def test_of_thoughts_by_another_hand_nearly_all_leaks_are_found_and_nearly_nothing_falsely(held_out: tuple[int, int]) -> None:
    missed, falsely_flagged = held_out
    assert missed <= 5
    assert falsely_flagged <= 3


def test_of_thoughts_by_another_hand_as_many_leaks_are_found_as_when_they_were_scored(held_out: tuple[int, int]) -> None:
    missed, falsely_flagged = held_out
    assert missed <= 8
    assert falsely_flagged <= 7


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
    rule_input = thinking(
        BOOK, second="She holds something flat \u2013 \u0130 think \u2013 and the ground truth says C. It has pages."
    )
    (fault,) = unleaked(rule_input).faults
    assert "ground truth" in rule_input.text[fault.start : fault.end]
    assert "pages" not in rule_input.text[fault.start : fault.end]


def test_an_answer_that_is_a_number_is_not_seen_in_a_time() -> None:
    count = RuleInput("", "open", "How many dots are there?", gold="2")
    second = "From 1.2 seconds until 2.2 seconds the frames show it clearly enough: 2."
    assert unleaked(thinking(count, second=second)).score == 1
