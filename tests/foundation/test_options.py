"""Options that stand in the text of a question are read where they can hardly be anything else."""

from __future__ import annotations

import time
from string import ascii_lowercase, ascii_uppercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.schemas.options import Choices, read_options, without_letters
from dmforge.schemas.records import Task
from dmforge.schemas.scoring import answer_options, answer_score

THREE = Choices("Which colour?", ("red", "dark blue", "green"))
BELOW = "Answer with the option's letter from the given choices directly."
MARKS = ("{}. ", "{}) ", "({}) ", "({})", "[{}] ", "{}: ")
words = st.text("abcxyz -'0", min_size=1, max_size=12).map(str.strip).filter(lambda text: text not in ("", "-", "'"))
several = st.lists(words.filter(lambda text: not text.startswith("-")), min_size=2, max_size=26)


@pytest.mark.parametrize(
    "text",
    [
        "Which colour?\nA. red\nB. dark blue\nC. green",
        "Which colour?\n\n(A) red\n\n(B) dark blue\n\n(C) green\n",
        "Which colour?\r\nA) red\r\nB) dark blue\r\nC) green",
        "Which colour?\nOptions:\nA. red\nB. dark blue\nC. green\nAnswer:",
        "Which colour?\n**Choices:**\n[A] red\n[B] dark blue\n[C] green\nThe best answer is:",
        "Which colour?\na. red\nb. dark blue\nc. green",
        "Which colour? (A) red (B) dark blue (C) green",
        "Which colour? A. red B. dark blue C. green",
        "Which colour? Options: A. red, B. dark blue, or C. green",
        "Which colour?\nOptions: (A) red; (B) dark blue; (C) green",
        "Which colour? Options: red, dark blue, green",
        "Which colour?\nOptions: red; dark blue; green",
        "Which colour?\nOptions:\nred\ndark blue\ngreen",
        "Which colour?\nPossible answer choices:\n- red\n- dark blue\n- green",
    ],
)
def test_options_are_read_as_people_write_them(text: str) -> None:
    assert read_options(text) == THREE


def test_how_to_answer_stays_with_the_question() -> None:
    wanted = Choices(f"Which?\n{BELOW}", ("red", "blue"))
    assert read_options(f"Which?\n{BELOW}\nA. red\nB. blue") == wanted
    assert read_options(f"Which?\nA. red\nB. blue\n{BELOW}") == wanted
    assert read_options("Which? (A) red (B) blue. Please answer with a letter.").options == ("red", "blue.")


@pytest.mark.parametrize(
    "text",
    [
        "", "What does A. Smith say?", "A. Smith\nB. Jones\nWho speaks?", "Who wins? A. Smith and B. Jones fight.",
        "Which?\nA. red", "Which?\nA. red\nC. blue", "Which?\nB. red\nA. blue", "Which?\nA. red\nB. blue\nD. green",
        "Which?\nA. red\nA. blue\nB. green", "Which?\nA. red\nB) blue", "Which?\nA.\nB.", "A. red\nB. blue",
        "Options:\nA. red\nB. blue", "Describe the following:\nA. the room\nB. the people", "(a) what is it and (b) why?",
        "Is it like figure (A) or like figure (B)?", "Is it A.M. or P.M.?", "What happens?\n1. cut\n2. mix",
        "A. cut\nB. mix\nC. bake\nWhich step comes first?", "Steps:\nA. cut\nB. mix\n\nHe then eats it.",
        "What are his options: to stay or to leave?", "Which vitamin? A. B. C.", "Which? Options: ['red', 'blue']",
        "Which?\nOptions:\n1. red\n2. blue", "Which?\nOptions: red", "Which?\nOptions:",
    ],
)  # fmt: skip
def test_what_may_be_something_else_stays_as_it_is(text: str) -> None:
    assert read_options(text) == Choices(text)


@given(st.text(st.characters(exclude_categories=()), max_size=60) | st.text("AB(). \n:?Options,;-\t", max_size=60))
def test_every_text_is_read(text: str) -> None:
    choices = read_options(text)
    assert choices == Choices(text) or (choices.question.strip() and len(choices.options) >= 2 and all(choices.options))


@given(several, st.sampled_from(MARKS), st.booleans(), st.sampled_from(["\n", "\n\n", "\nOptions:\n"]))
def test_what_is_written_in_lines_is_read_again(options: list[str], mark: str, small: bool, between: str) -> None:
    letters = ascii_lowercase if small else ascii_uppercase
    lines = [mark.format(letter) + option for letter, option in zip(letters, options, strict=False)]
    assert read_options(f"Which?{between}" + "\n".join(lines)) == Choices("Which?", tuple(options))
    assert without_letters(lines) == tuple(options)


@given(several)
def test_letters_out_of_order_are_no_options(options: list[str]) -> None:
    lines = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    turned = [*lines[1:], lines[0]]
    assert read_options("Which?\n" + "\n".join(turned)).options == ()


def test_an_option_that_begins_like_a_letter_keeps_it() -> None:
    assert without_letters(["A. Lincoln", "G. Washington"]) == ("A. Lincoln", "G. Washington")
    assert without_letters(["A. Lincoln"]) == ("A. Lincoln",)


def test_a_long_text_costs_no_more_than_its_length() -> None:
    begin = time.process_time()
    for text in ("?" + " " * 9_000 + "A. x", "Which?\nA. a" + " " * 9_000 + "b\nB. c\nanswer" + " " * 900 + "x", "A. " * 3_000):
        read_options(text)
        read_options(text * 1_000)
    assert time.process_time() - begin < 1


def test_an_open_task_whose_question_carries_its_options_is_scored_by_them() -> None:
    task = Task(b"v" * 16, "open", "Which?\nA. red\nB. dark blue", (), "B", (), "any")
    for given_answer in ("B", "(b)", "B. dark blue", "dark blue"):
        assert answer_score(given_answer, task) == 1
    for given_answer in ("A", "red", "blue"):
        assert answer_score(given_answer, task) == 0
    assert answer_options("open", task.question, (), "Dark blue.") == ("red", "dark blue")


def test_an_open_task_whose_answer_is_none_of_them_is_scored_by_its_words() -> None:
    task = Task(b"v" * 16, "open", "What is it?\nA. the room\nB. the people", (), "Two people sit in a room.", (), "any")
    assert answer_options(task.task_kind, task.question, task.options, task.answer) == ()
    assert answer_score("two people sit in a room", task) == 1
    assert answer_options("mcq", "Which?", ("x", "y"), "x") == ("x", "y")
