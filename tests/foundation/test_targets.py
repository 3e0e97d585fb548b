"""A target is a set of looks: equal sets are one row, and several windows are one only where all of them are needed."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.curation.sources.importing import imported_target
from dmforge.filters.selection.select_rl import teacher_target
from dmforge.schemas.ids import digest
from dmforge.schemas.looks import Box, Look, Window
from dmforge.schemas.records import Needs, Target, Task
from dmforge.schemas.targets import as_target, right_window, windows_of_set

VIDEO, TASK = digest("video", 1), digest("task", 1)
FIRST, SECOND, THIRD = Window(100, 300), Window(500, 700), Window(900, 1000)
WINDOWS = st.tuples(st.integers(0, 9), st.integers(1, 5)).map(lambda pair: Window(pair[0], sum(pair)))
LOOKS = st.builds(
    Look, WINDOWS, st.sampled_from([Fraction(1), Fraction(2)]), st.sampled_from([None, Box(1, 2, 3, 4)]),
    st.sampled_from([None, 96]),
)  # fmt: skip


def task(*windows: Window, needs: Needs = "all", extras: str = "") -> Task:
    return Task(VIDEO, "open", "Which is first?", (), "a", windows, needs, extras=extras)


@given(st.lists(LOOKS, max_size=5), st.randoms(use_true_random=False))
def test_equal_sets_are_equal_targets(looks: list[Look], draw: Random) -> None:
    found = as_target(looks)
    assert found == as_target(draw.sample([*looks, *looks[:1]], len(looks) + len(looks[:1])))
    assert set(found) == set(looks)
    assert len(found) == len(set(looks))
    assert [look.window.start_cs for look in found] == sorted(look.window.start_cs for look in found)


def test_a_target_of_one_look_has_the_id_that_it_always_had() -> None:
    """By the content that 59a9f4a digested."""
    look = Look(FIRST, Fraction(2))
    content = {
        "video": VIDEO, "task": TASK, "source": "replay",
        "look": {"window": {"start_cs": 100, "end_cs": 300}, "fps": {"num": 2, "den": 1}},
    }  # fmt: skip
    target = Target(VIDEO, TASK, look, "replay")
    assert (target.id, target.looks) == (digest("target", content), (look,))
    more = Target(VIDEO, TASK, look, "replay", further_looks=(Look(SECOND, Fraction(1)),))
    assert more.id != target.id
    assert more.looks == (look, Look(SECOND, Fraction(1)))


@pytest.mark.parametrize(
    ("windows", "needs", "max_looks", "expected"),
    [
        ((FIRST, SECOND), "all", 1, ()),
        ((FIRST, SECOND), "all", 2, (FIRST, SECOND)),
        ((SECOND, FIRST), "all", 3, (FIRST, SECOND)),
        ((FIRST, SECOND, THIRD), "all", 2, ()),
        ((FIRST, SECOND), "any", 2, ()),
        ((FIRST, FIRST), "all", 2, ()),
        ((FIRST,), "all", 2, ()),
        ((), "all", 2, ()),
    ],
)
def test_windows_are_a_set_where_all_are_needed_and_as_many_looks_allowed(
    windows: tuple[Window, ...], needs: Needs, max_looks: int, expected: tuple[Window, ...]
) -> None:
    assert windows_of_set(task(*windows, needs=needs), max_looks) == expected
    found = tuple(look.window for look in imported_target(task(*windows, needs=needs, extras='{"fps": 4.0}'), max_looks))
    spanned = max_looks > 1 and needs == "all" and len(set(windows)) > max_looks
    assert found == (expected or ((Window(windows[0].start_cs, windows[-1].end_cs),) if spanned else windows[:1]))
    assert imported_target(task(*windows, needs=needs), max_looks) == ()


def test_gold_is_looked_at_as_densely_as_a_teacher_did_there() -> None:
    looks = (Look(Window(450, 650), Fraction(6)), Look(Window(0, 200), Fraction(1)))
    both = task(FIRST, SECOND)
    assert teacher_target(both, looks, 2) == (Look(FIRST, Fraction(1)), Look(SECOND, Fraction(6)))
    assert teacher_target(both, looks[:1], 2) == (Look(FIRST, Fraction(6)), Look(SECOND, Fraction(6)))
    assert teacher_target(both, looks, 1) == (Look(Window(100, 700), Fraction(6)),)
    assert right_window(both) == Window(100, 700)
    assert teacher_target(task(), looks, 2) == (looks[1], looks[0])
    assert teacher_target(task(), looks, 1) == looks[:1]
