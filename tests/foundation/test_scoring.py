"""Answers match when they say the same, windows score by exact IoU."""

import time
from collections import Counter
from fractions import Fraction
from itertools import permutations
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dmforge.schemas.assignment import best_assignment
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.scoring import (
    choice,
    density_error,
    density_nearness,
    iou,
    match_looks,
    matches,
    measure_cs,
    normalised,
    number,
    overlap_cs,
    set_score,
    window_score,
)

OPTIONS = ("a red door", "The blue car", "Nothing", "3")

any_text = st.text(st.characters(exclude_categories=()), max_size=40)
windows = st.tuples(st.integers(0, 60), st.integers(1, 30)).map(lambda pair: Window(pair[0], pair[0] + pair[1]))
sets = st.lists(windows, max_size=4).map(tuple)


# answers


LETTERS = ["B", "b", "(B)", "(b)", "[b]", "B.", "B)", "(B).", "B:", " B\n", "**B**", "Answer: B", "answer is (B)", "Option B"]
SENTENCES = [
    "The correct answer is B.",
    "Final answer: **b**",
    "**Answer:** B",
    "the best option is B",
    "B: because it is blue",
]
TEXTS = [
    "B) The blue car",
    "(B) the blue car.",
    "B. blue car",
    "The blue car",
    "the BLUE car!",
    "blue  car",
    "Answer: the blue car",
]


@pytest.mark.parametrize("text", [*LETTERS, *SENTENCES, *TEXTS])
def test_an_option_is_named_by_letter_or_text(text: str) -> None:
    assert choice(text, OPTIONS) == 1
    assert matches(text, "B", OPTIONS)
    assert matches(text, "The blue car", OPTIONS)
    assert not matches(text, "A", OPTIONS)


@pytest.mark.parametrize(
    "text", ["", "E", "(E)", "A and B", "A, B", "AB", "a blue", "B) a red door", "Ba", "Answer:", "(B", "\ud800", "\u017f", "1"]
)
def test_what_names_no_option_or_two_matches_none(text: str) -> None:
    assert choice(text, OPTIONS) is None
    assert not any(matches(text, gold, OPTIONS) for gold in "ABCD")


def test_an_article_is_no_letter() -> None:
    assert choice("a red door", OPTIONS) == 0
    assert choice("A blue car", OPTIONS) == 1
    assert choice("A", OPTIONS) == 0


def test_an_option_that_begins_like_a_letter_is_read_as_a_whole_first() -> None:
    assert choice("A. Lincoln", ("G. Washington", "A. Lincoln")) == 1


def test_numbers_among_options_are_numbers() -> None:
    assert choice("three", OPTIONS) == choice("3.0", OPTIONS) == 3


def test_two_options_with_the_same_text_are_one() -> None:
    twins = ("run", "walk", "Run.")
    assert matches("C", "A", twins)
    assert matches("C", "run", twins)
    assert not matches("B", "A", twins)


@pytest.mark.parametrize(
    ("given_answer", "gold"),
    [
        ("3", "3.0"),
        ("three", "3"),
        ("Three.", "3"),
        ("1,000", "1000"),
        ("Answer: 12", "twelve"),
        ("-2.50", "-2.5"),
        ("The red door.", "red door"),
        ("RED\tdoor", "a red door"),
        ("don't", "dont"),
        ("don\u2019t", "don't"),
        ("well-known", "well known"),
        ("\ufb01re", "fire"),
        ("Straße", "STRASSE"),
        ("\uff43\uff41\uff54", "cat"),
        ("the answer is: yes", "Yes"),
        ("\U0001d400\U0001d401", "ab"),  # mathematical bold capitals
        ("\u03aa\u0301", "\u0390"),  # composed only after casefolding
        ("A", "a"),
        ("(A)", "A"),
        ("?", "?"),
    ],
)
def test_open_answers_that_say_the_same_match(given_answer: str, gold: str) -> None:
    assert matches(given_answer, gold)
    assert matches(gold, given_answer)


@pytest.mark.parametrize(
    ("given_answer", "gold"),
    [
        ("3", "-3"),
        ("3", "13"),
        ("3", "3.1"),
        ("", ""),
        (" ", "a"),
        ("the", "a"),
        ("?", "!"),
        ("red", "red door"),
        ("twenty", "2"),
        ("1,00", "100"),
        ("C++", "C"),
        ("$5", "5"),
        ("9" * 5000, "9" * 4999),
    ],
)
def test_open_answers_that_differ_dont_match(given_answer: str, gold: str) -> None:
    assert not matches(given_answer, gold)
    assert not matches(gold, given_answer)


@given(any_text, any_text, st.lists(any_text, max_size=4).map(tuple))
@example("\0", "\ud800", ("",))
def test_matching_is_total_and_open_matching_symmetric(one: str, other: str, options: tuple[str, ...]) -> None:
    matches(one, other, options)
    assert matches(one, other) == matches(other, one)
    assert matches(one, one) == bool(one.strip())


@given(any_text)
def test_a_normal_form_is_its_own_normal_form_unless_an_article_comes_to_light(text: str) -> None:
    once = normalised(text)
    assert once == " ".join(once.split())
    assert bool(once) == bool(text.strip())


@given(st.fractions(-1000, 1000, max_denominator=100).filter(lambda value: 100 % value.denominator == 0))
def test_a_decimal_is_read_exactly(value: Fraction) -> None:
    assert number(f"{float(value):.2f}") == value


@pytest.mark.parametrize("text", ["", "3 dogs", "1.2.3", "1e3", "nan", "٣", "½", "twenty-one", "1,00", "--1", "9" * 5000])
def test_what_is_not_wholly_a_number_is_none(text: str) -> None:
    assert number(text) is None


def test_an_essay_costs_no_more_than_its_length() -> None:
    marks = "a" + "\u0301\u0316" * 200_000  # NFKC alone would take two minutes
    begin = time.process_time()
    assert matches(marks, marks)
    assert not matches(marks, "a", OPTIONS)
    assert not matches("Answer" + " " * 400_000 + "x", "A", OPTIONS)
    assert time.process_time() - begin < 1


# windows


def covered(windows: tuple[Window, ...]) -> set[int]:
    """The centiseconds in the union, one by one."""
    return {cs for window in windows for cs in range(window.start_cs, window.end_cs)}


@given(sets, sets)
def test_iou_is_that_of_the_sets_of_centiseconds(found: tuple[Window, ...], gold: tuple[Window, ...]) -> None:
    one, other = covered(found), covered(gold)
    assert measure_cs(found) == len(one)
    assert overlap_cs(found, gold) == len(one & other)
    assert iou(found, gold) == (Fraction(len(one & other), len(one | other)) if one | other else 0)


@given(sets, sets)
def test_iou_is_symmetric_and_one_only_for_equal_sets(found: tuple[Window, ...], gold: tuple[Window, ...]) -> None:
    assert 0 <= iou(found, gold) == iou(gold, found) <= 1
    assert (iou(found, gold) == 1) == (bool(found) and covered(found) == covered(gold))


@given(windows, sets)
def test_any_takes_the_best_gold_window_and_all_takes_their_union(found: Window, gold: tuple[Window, ...]) -> None:
    singles = [iou((found,), (window,)) for window in gold]
    assert window_score((found,), gold, "any") == max(singles, default=0)
    assert window_score((found,), gold, "all") == iou((found,), gold)


def test_a_window_that_meets_one_of_two_golds() -> None:
    gold = (Window(0, 100), Window(200, 300))
    assert window_score((Window(0, 100),), gold, "any") == 1
    assert window_score((Window(0, 100),), gold, "all") == Fraction(1, 2)
    assert window_score((Window(0, 300),), gold, "all") == Fraction(2, 3)
    assert window_score((), gold, "any") == window_score((Window(0, 1),), (), "any") == 0


def test_iou_is_an_exact_fraction() -> None:
    assert iou((Window(0, 30),), (Window(10, 40),)) == Fraction(1, 2)
    assert iou((Window(0, 10),), (Window(10, 20),)) == 0


def test_a_density_error_is_a_distance() -> None:
    assert density_error(Fraction(1, 2), Fraction(2)) == density_error(Fraction(2), Fraction(1, 2)) == Fraction(3, 2)


# sets of looks


small = st.tuples(st.integers(0, 8), st.integers(1, 5)).map(lambda pair: Window(pair[0], sum(pair)))
many = st.lists(small, max_size=5)
looked = st.lists(st.builds(Look, small, st.sampled_from([Fraction(1, 3), Fraction(1), Fraction(2), Fraction(9)])), max_size=5)
values = st.tuples(
    st.fractions(0, 1, max_denominator=6) | st.sampled_from([Fraction(0), Fraction(1)]), st.fractions(-2, 2, max_denominator=4)
)
tables = st.tuples(st.integers(0, 5), st.integers(0, 5)).flatmap(
    lambda size: st.lists(st.lists(values, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0])
)
LARGEST = Fraction(6)


def nearness(fps: Fraction, target_fps: Fraction) -> Fraction:
    return density_nearness(fps, target_fps, LARGEST)


def pairings(rows: int, columns: int) -> list[list[tuple[int, int]]]:
    """Every way to pair as many as the smaller side has."""
    if rows > columns:
        return [[(row, column) for column, row in pairing] for pairing in pairings(columns, rows)]
    return [list(enumerate(chosen)) for chosen in permutations(range(columns), rows)]


@given(tables)
@example([])
@example([[]])
def test_no_other_assignment_is_worth_more(table: list[list[tuple[Fraction, Fraction]]]) -> None:
    def worth(pairs: list[tuple[int, int]]) -> tuple[Fraction, Fraction]:
        first, second = (sum((table[row][column][at] for row, column in pairs), Fraction(0)) for at in (0, 1))
        return first, second

    columns = len(table[0]) if table else 0
    found = list(best_assignment(table))
    assert worth(found) == max(map(worth, pairings(len(table), columns)))
    assert len({row for row, _ in found}) == len({column for _, column in found}) == min(len(table), columns)


def test_an_assignment_is_exact_where_floats_would_be_equal_and_large_where_all_orders_would_take_years() -> None:
    tiny = Fraction(1, 10**40)
    assert best_assignment([[(1 + tiny, Fraction(0)), (Fraction(1), Fraction(9))]]) == ((0, 0),)
    wide = [[(Fraction(1, 1 + (row * column) % 97), Fraction(row)) for column in range(40)] for row in range(40)]
    begin = time.process_time()
    assert len(best_assignment(wide)) == 40
    assert time.process_time() - begin < 1


@given(many, many)
def test_sets_score_the_mean_iou_of_the_best_matching(found: list[Window], target: list[Window]) -> None:
    ious = [[iou((window,), (other,)) for other in target] for window in found]
    best = max(sum((ious[at][to] for at, to in pairs), Fraction(0)) for pairs in pairings(len(found), len(target)))
    assert set_score(found, target) == best / max(len(found), len(target), 1)


@given(many, many, st.randoms(use_true_random=False))
def test_a_score_of_sets_knows_no_order_and_is_one_only_for_the_same_set(
    found: list[Window], target: list[Window], draw: Random
) -> None:
    score = set_score(found, target)
    assert 0 <= score == set_score(target, found) <= 1
    assert score == set_score(draw.sample(found, len(found)), draw.sample(target, len(target)))
    assert (score == 1) == (bool(found) and Counter(found) == Counter(target))


@given(small, small)
def test_of_one_window_and_one_a_score_of_sets_is_their_iou(found: Window, target: Window) -> None:
    for needs in ("any", "all"):
        assert set_score((found,), (target,)) == window_score((found,), (target,), needs)


@given(many, many)
def test_a_needless_look_and_a_missing_one_both_cost(found: list[Window], target: list[Window]) -> None:
    far = Window(1000, 1001)
    once = set_score(found, target)
    if len(found) >= len(target):
        assert set_score([*found, far], target) * (len(found) + 1) == once * max(len(found), 1)
    else:  # a place is still missing: another try costs nothing
        assert set_score([*found, far], target) == once
    assert set_score(target[1:], target) == (Fraction(len(target) - 1, len(target)) if target else 0)


@given(looked, looked, st.randoms(use_true_random=False))
def test_densities_of_matched_looks_know_no_order(looks: list[Look], target: list[Look], draw: Random) -> None:
    def total(pairs: tuple[tuple[Look, Look], ...]) -> tuple[Fraction, Fraction]:
        ious = (iou((look.window,), (other.window,)) for look, other in pairs)
        return sum(ious, Fraction(0)), sum((nearness(look.fps, other.fps) for look, other in pairs), Fraction(0))

    found = match_looks(looks, target, nearness)
    assert total(found) == total(match_looks(draw.sample(looks, len(looks)), draw.sample(target, len(target)), nearness))
    assert len(found) == min(len(looks), len(target))


def test_looks_are_matched_by_their_windows_first() -> None:
    here, there = Look(Window(0, 100), Fraction(1)), Look(Window(200, 300), Fraction(4))
    swapped = (Look(Window(210, 300), Fraction(1)), Look(Window(0, 90), Fraction(4)))
    assert match_looks(swapped, (here, there), nearness) == ((swapped[0], there), (swapped[1], here))
    nowhere = (Look(Window(500, 600), Fraction(4)), Look(Window(700, 800), Fraction(1)))
    assert match_looks(nowhere, (here, there), nearness) == ((nowhere[0], there), (nowhere[1], here))
