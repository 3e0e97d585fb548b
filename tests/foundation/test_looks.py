"""Windows and densities are exact, and print to one form that reads back."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dmforge.schemas.looks import (
    MAX_CS,
    MAX_DENSITY_PART,
    MAX_TOKENS,
    Box,
    Look,
    Window,
    print_box,
    print_density,
    print_seconds,
    print_span,
    read_box,
    read_density,
    read_span,
)

times_cs = st.integers(0, MAX_CS)
densities = st.fractions(min_value=Fraction(1, MAX_DENSITY_PART), max_value=MAX_DENSITY_PART, max_denominator=MAX_DENSITY_PART)


@given(times_cs, times_cs)
def test_every_window_prints_to_a_span_that_reads_back(one: int, other: int) -> None:
    assume(one != other)
    window = Window(min(one, other), max(one, other))
    assert read_span(print_span(window)) == (window.start_cs, window.end_cs)


@given(
    densities.filter(lambda fps: fps.numerator <= MAX_DENSITY_PART)
    | st.builds(Fraction, st.integers(1, 40), st.integers(1, 40))
)
def test_every_density_prints_to_a_text_that_reads_back_exactly(fps: Fraction) -> None:
    assert read_density(print_density(fps)) == fps
    assert Fraction(print_density(fps)) == fps  # and the text says the number in anybody's reading


def test_a_span_has_two_decimals_and_single_blanks() -> None:
    assert print_span(Window(1200, 2000)) == "12.00 - 20.00"
    assert print_span(Window(7, 100_005)) == "0.07 - 1000.05"
    assert print_seconds(0) == "0.00"


@pytest.mark.parametrize(
    ("fps", "text"),
    [
        (Fraction(2), "2"),
        (Fraction(100), "100"),
        (Fraction(1, 2), "0.5"),
        (Fraction(5, 4), "1.25"),
        (Fraction(1, 40), "0.025"),
        (Fraction(2997, 100), "29.97"),
        (Fraction(1, 3), "1/3"),
        (Fraction(24000, 1001), "24000/1001"),
        (Fraction(1, 2**19), "0.0000019073486328125"),
        (Fraction(0), "0"),
        (Fraction(-1, 2), "-0.5"),
    ],
)
def test_a_density_is_an_integer_else_a_decimal_that_ends_else_a_fraction(fps: Fraction, text: str) -> None:
    assert print_density(fps) == text
    assert read_density(text) == fps


LOOSE_SPANS = ["12 - 20", "12.0 - 20.0", "12.00-20.00", "12.00 \u2013 20.00", "012.00 - 20.00", " 12.00 - 20.00", "1e1 - 2e1"]
BAD_SPANS = ["", "12.00 - 20.00\n", "-1.00 - 2.00", "1.000 - 2.000", "\u0661.00 - 2.00", "99999999.00 - 2.00", "9" * 10_000]


@pytest.mark.parametrize("text", [*LOOSE_SPANS, *BAD_SPANS])
def test_no_other_spelling_of_a_span_is_read(text: str) -> None:
    assert read_span(text) is None


LOOSE_DENSITIES = ["2.0", "02", "+2", "2.", ".5", "0.50", "2/1", "2/4", "1/2", "-0", "1e3", "1_0", "2 ", "2\n", "1/3.0"]
BAD_DENSITIES = [
    "",
    "1/0",
    "0/0",
    "1/-3",
    "\u0662",
    "nan",
    "inf",
    "1000001",
    "1/1000001",
    "9" * 10_000,
    "0.3333333333333333333",
]


@pytest.mark.parametrize("text", [*LOOSE_DENSITIES, *BAD_DENSITIES])
def test_no_other_spelling_of_a_density_is_read(text: str) -> None:
    assert read_density(text) is None


@pytest.mark.parametrize(("start_cs", "end_cs"), [(5, 5), (6, 5), (-1, 5), (0, 0), (0, MAX_CS + 1)])
def test_an_empty_reversed_or_endless_window_cant_be_built(start_cs: int, end_cs: int) -> None:
    with pytest.raises(ValueError, match=f"no window from {start_cs} to {end_cs} cs"):
        Window(start_cs, end_cs)


@pytest.mark.parametrize("fps", [Fraction(0), Fraction(-2), Fraction(MAX_DENSITY_PART + 1), Fraction(1, MAX_DENSITY_PART + 1)])
def test_a_density_that_is_not_positive_or_not_printable_makes_no_look(fps: Fraction) -> None:
    with pytest.raises(ValueError, match="no density of"):
        Look(Window(0, 1), fps)


def test_window_bounds_are_exact_seconds() -> None:
    assert (Window(7, 47).start_s, Window(7, 47).end_s) == (Fraction(7, 100), Fraction(47, 100))


sides = st.integers(0, 1000)


@given(sides, sides, sides, sides)
def test_every_box_prints_to_four_sides_that_read_back(x1: int, y1: int, x2: int, y2: int) -> None:
    assume(x1 != x2 and y1 != y2)
    box = Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    assert read_box(print_box(box)) == box
    assert print_box(box).split() == [str(side) for side in (box.x1, box.y1, box.x2, box.y2)]


LOOSE_BOXES = ["120,40,560,800", "120 40 560 800 ", "120  40 560 800", "0120 40 560 800", "+120 40 560 800", "120 40 560 800\n"]
BAD_BOXES = ["", "1 2 3", "1 2 3 4 5", "1.0 2 3 4", "-1 2 3 4", "\u0661 2 3 4", "1 2 3 1001", "3 2 1 4", "1 2 1 4", "9" * 9999]


@pytest.mark.parametrize("text", [*LOOSE_BOXES, *BAD_BOXES])
def test_no_other_spelling_of_a_box_is_read(text: str) -> None:
    assert read_box(text) is None


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 1), (1, 0, 0, 1), (0, 5, 1, 5), (-1, 0, 1, 1), (0, 0, 1001, 1), (0.0, 0, 1, 1), (0, 0, True, 1)]
)
def test_a_box_that_is_empty_or_outside_the_picture_cant_be_built(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no box of"):
        Box(*box)


@pytest.mark.parametrize("tokens", [0, -1, MAX_TOKENS + 1, True, 2.0])
def test_a_quota_is_a_positive_number_of_tokens(tokens: int) -> None:
    with pytest.raises(ValueError, match="no quota of"):
        Look(Window(0, 1), Fraction(1), tokens=tokens)
