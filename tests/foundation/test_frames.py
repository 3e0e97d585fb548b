"""A frame plan follows its formulae, checked here against slow and independent ones."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.frames import NoFrames, last_index, plan_coarse, plan_look
from dmforge.schemas.ids import digest
from dmforge.schemas.looks import Look, Window

durations = st.fractions(Fraction(1, 100), 90, max_denominator=90_000)
densities = st.sampled_from([1, 2, 3, 4, 5, 6, 8, 12, 24, 30]).map(Fraction) | st.fractions(
    Fraction(1, 50), 40, max_denominator=1001
)
grids = st.sampled_from([1, 8, 12, 25])
limits = st.sampled_from([2, 3, 16, 256])


@st.composite
def looks_into_videos(draw: st.DrawFn) -> tuple[Look, Fraction]:
    """A look that begins inside a video of some duration, and may go on after its end."""
    duration_s = draw(durations)
    start_cs = draw(st.integers(0, ceil(duration_s * 100) - 1))
    length_cs = draw(st.integers(1, 20) | st.integers(1, 3000))
    return Look(Window(start_cs, start_cs + length_cs), draw(densities)), duration_s


def grid_inside(look: Look, duration_s: Fraction, grid_fps: int) -> list[Fraction]:
    """All grid times in the window and the video, by walking over them."""
    times = [Fraction(k, grid_fps) for k in range(90 * grid_fps + 1)]
    return [time for time in times if look.window.start_s <= time < min(look.window.end_s, duration_s)]


def affordable_density(look: Look, length_s: Fraction, grid_fps: int, max_frames: int) -> Fraction:
    """The requested density, lowered to the grid, then to grid / 1, grid / 2, ... until it fits, by trying."""

    def fits(fps: Fraction) -> bool:
        frames = 0
        while frames <= max_frames and Fraction(frames + 1) / fps <= length_s:  # room for one more whole step?
            frames += 1
        return frames <= max_frames

    fps, k = min(look.fps, Fraction(grid_fps)), 1
    while not fits(fps):
        fps, k = Fraction(grid_fps, k), k + 1
    return fps


# V1


@given(looks_into_videos(), grids, limits)
@example((Look(Window(7, 47), Fraction(5)), Fraction(10)), 12, 256)
@example((Look(Window(1, 2), Fraction(5)), Fraction(10)), 12, 256)
@example((Look(Window(0, 300), Fraction(1)), Fraction(3)), 12, 2)
def test_a_look_is_shown_as_the_formulae_say(asked: tuple[Look, Fraction], grid_fps: int, max_frames: int) -> None:
    look, duration_s = asked
    plan = plan_look(look, duration_s, grid_fps, max_frames)
    start_s, end_s = look.window.start_s, min(look.window.end_s, duration_s)
    fps = affordable_density(look, end_s - start_s, grid_fps, max_frames)
    inside = grid_inside(look, duration_s, grid_fps)

    wanted: list[Fraction] = []
    while start_s + Fraction(len(wanted) + 1) / fps <= end_s:  # N = floor((end - start) * fps), by counting whole steps
        wanted.append(start_s + Fraction(len(wanted)) / fps)
    if len(wanted) >= 2:
        expected = [min(time for time in inside if time >= exact) for exact in wanted]
    elif inside:
        expected = [inside[0], inside[-1]]
    else:
        expected = [max(Fraction(k, grid_fps) for k in range(90 * grid_fps) if Fraction(k, grid_fps) <= start_s)] * 2

    assert list(plan.times_s) == expected
    assert (plan.requested_fps, plan.actual_fps) == (look.fps, fps)
    assert plan.lowered == (fps != look.fps)
    assert plan.clamped == (look.window.end_s > duration_s)


@given(looks_into_videos(), grids, limits)
def test_no_frame_leaves_the_window_or_the_video(asked: tuple[Look, Fraction], grid_fps: int, max_frames: int) -> None:
    look, duration_s = asked
    plan = plan_look(look, duration_s, grid_fps, max_frames)
    assert 2 <= len(plan.times_s) <= max_frames
    assert plan.times_s == tuple(Fraction(index, grid_fps) for index in plan.indices)
    assert list(plan.indices) == sorted(plan.indices)
    assert all(0 <= time < duration_s for time in plan.times_s)
    if grid_inside(look, duration_s, grid_fps):
        assert all(look.window.start_s <= time < look.window.end_s for time in plan.times_s)
    else:  # the one exception: what is on screen at the start, twice
        assert plan.indices[0] == plan.indices[1]
        assert 0 < look.window.start_s - plan.times_s[0] < Fraction(1, grid_fps)


@given(looks_into_videos(), limits)
def test_frames_are_evenly_spaced_unless_marked_as_snapped(asked: tuple[Look, Fraction], max_frames: int) -> None:
    plan = plan_look(*asked, 12, max_frames)
    steps = {later - earlier for earlier, later in zip(plan.indices, plan.indices[1:], strict=False)}
    if plan.snapped:
        assert plan.actual_fps not in (1, 2, 3, 4, 6, 12)
        assert len(plan.indices) == 2 or max(steps) - min(steps) <= 1
    elif len(plan.indices) > 2:
        assert steps == {12 / plan.actual_fps}


@given(st.integers(0, 600), st.integers(1, 240), st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_densities_of_a_recipe_move_nothing_on_the_grid(quarter: int, quarters: int, fps: int) -> None:
    look = Look(Window(25 * quarter, 25 * (quarter + quarters)), Fraction(fps))  # quarters of a second are grid times
    plan = plan_look(look, Fraction(1000), max_frames=10_000)
    n = fps * quarters // 4
    assume(n >= 2)
    assert plan.times_s == tuple(Fraction(quarter, 4) + Fraction(i, fps) for i in range(n))
    assert (plan.snapped, plan.lowered, plan.clamped) == (False, False, False)


def test_a_window_that_floats_cut_short_gets_all_its_frames() -> None:
    assert int((0.47 - 0.07) * 5) == 1  # what floats make of it
    assert len(plan_look(Look(Window(7, 47), Fraction(5)), Fraction(10)).times_s) == 2


def test_every_two_decimal_window_gets_the_exact_number_of_frames() -> None:
    for fps in (1, 2, 3, 4, 5, 6, 10):
        for start_cs in range(0, 100, 7):
            for length_cs in range(1, 400, 3):
                n = length_cs * fps // 100
                plan = plan_look(Look(Window(start_cs, start_cs + length_cs), Fraction(fps)), Fraction(60))
                assert len(plan.times_s) == max(n, 2)


def test_a_short_window_shows_its_first_and_last_grid_frame() -> None:
    assert plan_look(Look(Window(100, 200), Fraction(1)), Fraction(10)).indices == (12, 23)
    assert plan_look(Look(Window(101, 199), Fraction(1)), Fraction(10)).indices == (13, 23)


def test_a_window_between_two_grid_times_shows_the_frame_on_screen_twice() -> None:
    assert plan_look(Look(Window(101, 105), Fraction(6)), Fraction(10)).indices == (12, 12)


def test_a_window_with_one_grid_time_shows_it_twice() -> None:
    assert plan_look(Look(Window(99, 101), Fraction(6)), Fraction(10)).indices == (12, 12)


def test_a_density_above_the_grid_is_lowered_to_it() -> None:
    plan = plan_look(Look(Window(0, 100), Fraction(30)), Fraction(10))
    assert (plan.requested_fps, plan.actual_fps, plan.lowered, plan.snapped) == (30, 12, True, False)
    assert plan.indices == tuple(range(12))


def test_too_many_frames_lower_the_density_to_the_largest_part_of_the_grid_that_fits() -> None:
    plan = plan_look(Look(Window(0, 10_000), Fraction(6)), Fraction(100), max_frames=256)
    assert (plan.requested_fps, plan.actual_fps) == (6, Fraction(12, 5))  # 12/4 would be 300 frames, 12/5 is 240
    assert plan.indices == tuple(range(0, 1200, 5))


def test_a_foreign_density_says_that_it_was_snapped() -> None:
    plan = plan_look(Look(Window(0, 100), Fraction(5)), Fraction(10))
    assert plan.snapped
    assert plan.indices == (0, 3, 5, 8, 10)  # 0, 2.4, 4.8, 7.2, 9.6 upwards


def test_a_window_over_the_end_is_clamped_and_says_so() -> None:
    plan = plan_look(Look(Window(5647, 6172), Fraction(3)), Fraction(6093, 100))
    assert plan.clamped
    assert len(plan.times_s) == 13  # floor((60.93 - 56.47) * 3)
    assert not plan_look(Look(Window(5647, 6093), Fraction(3)), Fraction(6093, 100)).clamped


@pytest.mark.parametrize("duration_s", [Fraction(5), Fraction(4), Fraction(1, 100), Fraction(0), Fraction(-1)])
def test_a_window_outside_the_video_is_refused_and_the_refusal_names_the_mend(duration_s: Fraction) -> None:
    with pytest.raises(NoFrames) as refusal:
        plan_look(Look(Window(500, 600), Fraction(2)), duration_s)
    assert isinstance(refusal.value, DmforgeError)
    assert refusal.value.hint


@given(durations, grids)
def test_the_last_frame_of_a_video_is_the_last_grid_time_before_its_end(duration_s: Fraction, grid_fps: int) -> None:
    last = last_index(duration_s, grid_fps)
    assert Fraction(last, grid_fps) < duration_s <= Fraction(last + 1, grid_fps)


# V0


@given(
    st.fractions(Fraction(1, 1000), 5000, max_denominator=90_000), st.sampled_from([Fraction(1), Fraction(2), Fraction(1, 3)])
)
@example(Fraction(128), Fraction(2))
@example(Fraction(1, 25), Fraction(2))
def test_the_coarse_clip_spreads_an_even_number_of_frames_over_the_video(duration_s: Fraction, coarse_fps: Fraction) -> None:
    plan = plan_coarse(duration_s, coarse_fps)
    n = len(plan.times_s)
    assert n % 2 == 0
    assert 4 <= n <= 256
    if 4 <= duration_s * coarse_fps <= 256:
        assert 0 <= duration_s * coarse_fps - n < 2
    else:
        assert n in (4, 256)
    assert plan.times_s == tuple(i * duration_s / n for i in range(n))
    assert plan.indices == tuple(range(n))
    assert plan.actual_fps * duration_s == n


@pytest.mark.parametrize(
    ("duration_s", "n"), [("0.04", 4), ("2", 4), ("2.99", 4), ("3", 6), ("10.5", 20), ("128", 256), ("7200", 256)]
)
def test_coarse_frames_of_some_videos(duration_s: str, n: int) -> None:
    assert len(plan_coarse(Fraction(duration_s)).times_s) == n


def test_an_odd_maximum_is_rounded_down_to_even() -> None:
    assert len(plan_coarse(Fraction(1000), max_frames=101).times_s) == 100


def test_a_video_without_duration_has_no_coarse_clip() -> None:
    with pytest.raises(NoFrames, match="has no frames"):
        plan_coarse(Fraction(0))


def test_too_small_maxima_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 frames"):
        plan_coarse(Fraction(10), max_frames=3)
    with pytest.raises(ValueError, match="at least 2 frames"):
        plan_look(Look(Window(0, 100), Fraction(2)), Fraction(10), max_frames=1)


def test_two_requests_that_show_the_same_frames_share_a_digest() -> None:
    video, window = Fraction(10), Window(0, 200)
    content = [plan_look(Look(window, Fraction(fps)), video).content() for fps in (12, 30, 6)]
    ids = [digest("frame plan", plan) for plan in content]
    assert ids[0] == ids[1] != ids[2]
