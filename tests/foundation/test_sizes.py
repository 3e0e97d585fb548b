"""A clip stays in its token budget, true to its aspect and never above its source."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dmforge.schemas.errors import InputError
from dmforge.schemas.sizes import Size, clip_tokens, plan_look_sizes, plan_size

frames = st.integers(1, 300)
sides = st.integers(1, 4000) | st.sampled_from([1, 15, 16, 17, 31, 32, 33, 47, 48, 100_000])
budgets = st.integers(1, 40_000)


def cells(pixels: int) -> int:
    """The source in cells: the nearest, a half upwards, at least one."""
    return max(1, int(pixels / 32 + 0.5))


@given(frames, sides, sides, budgets)
def test_a_clip_never_costs_more_than_its_budget(n: int, width: int, height: int, budget: int) -> None:
    assume(budget >= (n + 1) // 2)
    size = plan_size(n, width, height, budget)
    assert size.width % 32 == size.height % 32 == 0
    assert size.width >= 32
    assert size.height >= 32
    assert -(-n // 2) * (size.width // 32) * (size.height // 32) == clip_tokens(n, size) <= budget


@given(frames, sides, sides, budgets)
def test_a_size_is_never_above_the_source(n: int, width: int, height: int, budget: int) -> None:
    assume(budget >= (n + 1) // 2)
    size = plan_size(n, width, height, budget)
    assert size.width <= 32 * cells(width)
    assert size.height <= 32 * cells(height)


@given(sides, sides)
def test_a_source_that_fits_keeps_its_size(width: int, height: int) -> None:
    assert plan_size(1, width, height, 10**9) == Size(32 * cells(width), 32 * cells(height))


@given(frames, sides, sides, budgets)
def test_the_shorter_side_is_within_half_a_cell_of_the_true_aspect(n: int, width: int, height: int, budget: int) -> None:
    assume(budget >= (n + 1) // 2)
    size = plan_size(n, width, height, budget)
    assume(size != Size(32 * cells(width), 32 * cells(height)))
    (long, short), source = sorted([size.width, size.height])[::-1], sorted([width, height])
    true = long * source[0] / source[1]
    assert abs(short - true) <= 16 or (short == 32 and true < 32) or short == 32 * cells(source[0])


@given(frames, sides, sides, budgets)
def test_one_more_cell_on_the_longer_side_would_not_fit(n: int, width: int, height: int, budget: int) -> None:
    assume(budget >= (n + 1) // 2)
    size = plan_size(n, width, height, budget)
    long, source = max(size.width, size.height) // 32 + 1, sorted([width, height])
    assume(long < cells(source[1]))
    short = min(cells(source[0]), max(1, (2 * long * source[0] + source[1]) // (2 * source[1])))
    assert (n + 1) // 2 * long * short > budget


@given(frames, frames, sides, sides, budgets)
def test_more_frames_are_never_larger(n: int, more: int, width: int, height: int, budget: int) -> None:
    assume(budget >= (n + more + 1) // 2)
    few, many = plan_size(n, width, height, budget), plan_size(n + more, width, height, budget)
    assert many.width <= few.width
    assert many.height <= few.height


@given(frames, sides, sides, budgets)
def test_turning_the_source_turns_the_size(n: int, width: int, height: int, budget: int) -> None:
    assume(budget >= (n + 1) // 2 and width != height)
    size = plan_size(n, width, height, budget)
    assert plan_size(n, height, width, budget) == Size(size.height, size.width)


def test_some_sizes() -> None:
    assert plan_size(16, 1920, 1080, 10**6) == Size(1920, 1088)
    assert plan_size(16, 1920, 1080, 2000) == Size(640, 352)  # 8 patches of at most 250 tokens: 20 x 11; 21 x 12 is 252
    assert plan_size(256, 1920, 1080, 8192) == Size(320, 192)  # 128 patches of at most 64: 10 x 6; 11 x 6 is 66
    assert plan_size(2, 100_000, 10, 50) == Size(1600, 32)
    assert plan_size(7, 64, 64, 4) == Size(32, 32)


def test_a_budget_below_one_token_a_patch_is_refused_and_the_refusal_names_the_mend() -> None:
    with pytest.raises(InputError) as refusal:
        plan_size(9, 640, 360, 4)
    assert "9 frames are 5 temporal patches" in str(refusal.value)
    assert "at least 5" in refusal.value.hint
    assert "frames to 8" in refusal.value.hint
    assert plan_size(8, 640, 360, 4) == plan_size(9, 640, 360, 5) == Size(32, 32)


@pytest.mark.parametrize(("n", "width", "height"), [(0, 32, 32), (1, 0, 32), (1, 32, 0)])
def test_nothing_has_no_size(n: int, width: int, height: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan_size(n, width, height, 100)


@given(st.integers(2, 300), st.integers(4, 300), sides, sides, budgets, budgets)
def test_more_frames_never_cost_fewer_tokens_and_hardly_stretch_the_picture(
    max_frames: int, coarse_frames: int, width: int, height: int, budget: int, coarse_budget: int
) -> None:
    assume(budget >= (max_frames + 1) // 2 and coarse_budget >= (coarse_frames + 1) // 2)
    overview = plan_size(coarse_frames, width, height, coarse_budget)
    densest = plan_size(max_frames, width, height, budget)
    sizes = plan_look_sizes(max_frames, width, height, budget, overview)
    assert len(sizes) == (max_frames + 1) // 2
    assert sizes[-1] == densest
    costs = [clip_tokens(frames, sizes[(frames + 1) // 2 - 1]) for frames in range(1, max_frames + 1)]
    assert costs == sorted(costs)
    assert costs[-1] <= budget
    for size in sizes:
        assert densest.width <= size.width <= max(densest.width, overview.width)
        assert densest.height <= size.height <= max(densest.height, overview.height)
        stretch = size.height * width / (size.width * height)
        assert size in (overview, densest) or abs(stretch - 1) <= 0.08 + 1e-9


@pytest.mark.parametrize(
    ("width", "height", "overview", "frames_at_its_size"),
    [
        (1280, 720, Size(1280, 736), 8),  # 10 s
        (3840, 2160, Size(1216, 672), 10),  # 15 s
        (1080, 1920, Size(672, 1216), 10),  # 15 s
        (1280, 720, Size(864, 480), 24),  # 30 s
    ],
)
def test_a_look_of_few_frames_is_as_large_as_the_overview(
    width: int, height: int, overview: Size, frames_at_its_size: int
) -> None:
    sizes = plan_look_sizes(64, width, height, 8192, overview)
    assert [size for size in sizes if size == overview] == [overview] * (frames_at_its_size // 2)


def test_where_the_overview_is_smaller_every_look_has_one_size() -> None:
    assert set(plan_look_sizes(64, 1280, 720, 8192, Size(416, 224))) == {Size(672, 384)}
