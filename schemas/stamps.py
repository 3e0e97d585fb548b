"""A temporal patch is two frames under one stamp; teacher and student are shown the same stamps and can cite the same times."""

from __future__ import annotations

from fractions import Fraction

FRAMES_A_PATCH = 2


def patches(frame_count: int) -> int:
    """How many temporal patches so many frames make."""
    return -(-frame_count // FRAMES_A_PATCH)


def patch_times(times_s: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    """The times of patches: each is the mean of its two frames' times; an odd last frame is repeated, so it keeps its own."""
    first_times_s, second_times_s = times_s[0::2], (*times_s[1::2], *times_s[-1:])
    return tuple((first_s + second_s) / 2 for first_s, second_s in zip(first_times_s, second_times_s, strict=False))


def stamp(time_s: Fraction) -> str:
    """The stamp of a time, `<12.3 seconds>`.

    Of the float, because the Hugging Face processor prints floats: 0.35 is .34999... as a float and prints as 0.3, not 0.4.
    It takes the mean in floats too; on the 12 fps grid that prints like our exact mean (all pairs up to 1 s apart in 20 min).
    """
    return f"<{float(time_s):.1f} seconds>"


def print_patch(time_s: Fraction, pad_count: int) -> str:
    """A patch as it stands in the prompt: its stamp, then a placeholder for each of its visual tokens."""
    return f"{stamp(time_s)}<|vision_start|>{'<|video_pad|>' * pad_count}<|vision_end|>"
