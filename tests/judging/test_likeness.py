"""Near texts are told from texts that only look alike, the same on every machine, whatever the texts are."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.schemas.likeness import bands, estimated_likeness, is_near, likeness, signature, words

SAME = [
    ("When does the man open the door?", "At what time does the man open the door?"),
    ("the dog jumps over the low fence", "the low fence is jumped over by the dog"),
    (
        "What does the woman do right after she fills the kettle?",
        "After filling the kettle, what does the woman do right away?",
    ),
    ("How many balls does the man keep in the air?", "How many balls is the man keeping in the air?"),
    ("What color is the car?", "Which colour is the car?"),
    ("How often does the lamp flash?", "How many times does the lamp flash?"),
    ("a person is putting a book on a shelf", "person puts the book on the shelf."),
    ("Who closes the window at the end of the video?", "Who closed the window at the end?"),
    ("人打开门", "人打开了门"),
]
OTHER = [
    ("What colour is the car?", "What colour is the cat?"),
    ("When does the man open the door?", "Who opens the door?"),
    ("What does the woman hold in her left hand?", "What does the woman hold in her right hand?"),
    ("a person opens a laptop", "a person closes a laptop"),
    ("the dog chases the cat", "the cat chases the dog"),
    ("What happens before the goal?", "What happens after the goal?"),
    ("When does the red circle turn green?", "When does the red circle turn blue?"),
    ("Which colour does the red circle flash?", "How often does the red circle flash?"),
    ("the person does not open the box", "the person opens the box"),
    ("人打开门", "狗在跑"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_asks_the_same_is_near(one: str, other: str) -> None:
    assert is_near(one, other)
    assert is_near(other, one)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_one_word_makes_another_question(one: str, other: str) -> None:
    assert not is_near(one, other)


def test_words_are_taken_without_endings_and_function_words() -> None:
    assert words("The man is opening the doors") == ("man", "open", "door")
    assert words("what is it?") == ("what", "is", "it")


@given(st.text(), st.text())
def test_likeness_is_total_symmetric_and_between_0_and_1(one: str, other: str) -> None:
    assert likeness(one, one) == 1
    assert 0 <= likeness(one, other) == likeness(other, one) <= 1
    assert is_near(one, one)


@given(st.text(st.characters()))
def test_any_text_has_a_signature(text: str) -> None:
    found = signature(text)
    assert len(found) == 64
    assert all(0 <= number < 2**32 for number in found)
    assert len(set(bands(found))) == 16


def test_half_a_surrogate_is_a_text_too() -> None:
    assert likeness("\ud800", "\ud800") == 1
    assert signature("\ud800") != signature("x")


def test_signatures_estimate_the_exact_likeness() -> None:
    vocabulary = [f"thing{nth}" for nth in range(40)]
    errors: list[float] = []
    for shared in range(2, 20):
        one, other = " ".join(vocabulary[:20]), " ".join(vocabulary[20 - shared : 40 - shared])
        errors.append(estimated_likeness(signature(one), signature(other)) - likeness(one, other))
    assert max(map(abs, errors)) < 0.2
    assert abs(sum(errors) / len(errors)) < 0.05


def test_near_texts_share_a_band_and_others_hardly_ever() -> None:
    def share(one: str, other: str) -> bool:
        return bool(set(bands(signature(one))) & set(bands(signature(other))))

    assert all(share(one, other) for one, other in SAME)
    far = [(f"does person {n} open door {n}", f"will dog {n} eat meal {n} slowly") for n in range(200)]
    assert sum(share(one, other) for one, other in far) <= 20


def test_a_signature_is_the_same_in_every_process() -> None:
    code = "from dmforge.schemas.likeness import signature; print(signature('When does the man open the door?'))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert told == {str(signature("When does the man open the door?"))}
    assert signature("When does the man open the door?")[:2] == (626622910, 96591186)
