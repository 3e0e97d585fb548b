"""Two frames are one patch, printed with its time as the Hugging Face processor prints it."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from dmforge.schemas.stamps import patch_times, patches, print_patch, stamp


def test_a_patch_has_the_mean_time_of_its_two_frames() -> None:
    assert patch_times((Fraction(0), Fraction(1, 2), Fraction(1), Fraction(3, 2))) == (Fraction(1, 4), Fraction(5, 4))


def test_an_odd_last_frame_is_repeated() -> None:
    assert patch_times((Fraction(0), Fraction(1), Fraction(2))) == (Fraction(1, 2), Fraction(2))
    assert patch_times((Fraction(3),)) == (Fraction(3),)
    assert patch_times(()) == ()


@given(st.lists(st.fractions(0, 100, max_denominator=100), max_size=9).map(lambda times: tuple(sorted(times))))
def test_there_is_a_time_for_every_patch_between_those_of_its_frames(times_s: tuple[Fraction, ...]) -> None:
    means = patch_times(times_s)
    assert len(means) == patches(len(times_s))
    for i, mean in enumerate(means):
        assert mean == sum((pair := times_s[2 * i : 2 * i + 2]), Fraction(0)) / len(pair)


def test_a_stamp_has_one_decimal_and_rounds_as_floats_do() -> None:
    assert stamp(Fraction(1, 4)) == "<0.2 seconds>"
    assert stamp(Fraction(35, 100)) == "<0.3 seconds>"
    assert stamp(Fraction(3661)) == "<3661.0 seconds>"


def test_on_the_grid_stamps_are_those_of_the_processors_float_arithmetic() -> None:
    for index in range(12 * 60):
        for step in (1, 2, 3, 4, 6, 12):
            processor = f"<{(index / 12 + (index + step) / 12) / 2:.1f} seconds>"
            assert stamp(patch_times((Fraction(index, 12), Fraction(index + step, 12)))[0]) == processor


def test_a_patch_prints_its_stamp_and_a_placeholder_for_each_visual_token() -> None:
    expected = "<12.3 seconds><|vision_start|><|video_pad|><|video_pad|><|video_pad|><|vision_end|>"
    assert print_patch(Fraction(123, 10), 3) == expected
