"""A look is exact: its window counts centiseconds, its density is a fraction, its box per mille; each has one printed form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from dmforge.schemas.later_members import LATER_MEMBER
from dmforge.schemas.units import PerMille

MAX_CS = 999_999_999
"""The latest time a window may name, 9999999.99 s (115 days): what can be built can be printed and read back."""

MAX_DENSITY_PART = 1_000_000
"""The largest numerator or denominator of a density; 24000/1001 fits, a number made of megabytes doesn't."""

PICTURE_SIDE = 1000
"""A side of the picture, as boxes count it: per mille."""

MAX_TOKENS = 999_999_999
"""The largest token quota of a look: what can be built can be stored."""

OFFERED_FPS = (1, 2, 3, 4, 6)
"""The densities that prompts offer a teacher."""

_SPAN = re.compile(r"(0|[1-9][0-9]{0,6})\.([0-9]{2}) - (0|[1-9][0-9]{0,6})\.([0-9]{2})")
_BOX = re.compile(r"(0|[1-9][0-9]{0,3}) (0|[1-9][0-9]{0,3}) (0|[1-9][0-9]{0,3}) (0|[1-9][0-9]{0,3})")
# 19 decimals: the longest terminating decimal that MAX_DENSITY_PART allows is that of 1/2**19
_DENSITY = re.compile(r"-?[0-9]{1,7}(?:\.[0-9]{1,19}|/[0-9]{1,7})?")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a video from `start_cs` up to, not including, `end_cs`, counted from the first displayed frame."""

    start_cs: int
    """From the first displayed frame on."""
    end_cs: int
    """Up to here, and not including it."""

    def __post_init__(self) -> None:
        if not 0 <= self.start_cs < self.end_cs <= MAX_CS:
            raise ValueError(f"no window from {self.start_cs} to {self.end_cs} cs: 0 <= start < end <= {MAX_CS} must hold")

    @property
    def start_s(self) -> Fraction:
        """Where the window begins, in seconds."""
        return Fraction(self.start_cs, 100)

    @property
    def end_s(self) -> Fraction:
        """Where the window ends, in seconds."""
        return Fraction(self.end_cs, 100)

    @property
    def bounds_s(self) -> list[float]:
        """Both ends in seconds, as JSON has them."""
        return [self.start_cs / 100, self.end_cs / 100]


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the picture in per mille of its width, from x1 up to x2, and of its height, from y1 down to y2."""

    x1: PerMille
    """Left side."""
    y1: PerMille
    """Upper side."""
    x2: PerMille
    """Right side."""
    y2: PerMille
    """Lower side."""

    def __post_init__(self) -> None:
        sides = (self.x1, self.y1, self.x2, self.y2)
        if not all(type(side) is int for side in sides) or not (
            0 <= self.x1 < self.x2 <= PICTURE_SIDE and 0 <= self.y1 < self.y2 <= PICTURE_SIDE
        ):
            raise ValueError(
                f"no box of {sides}: whole numbers with 0 <= first < second <= {PICTURE_SIDE} on both axes must hold"
            )


@dataclass(frozen=True, slots=True)
class Look:
    """A retrieval command: where to look, how densely in frames per second, at which part of the picture, at what cost."""

    window: Window
    """The stretch of the video that is shown."""
    fps: Fraction
    """How densely it is shown."""
    box: Box | None = field(default=None, metadata=LATER_MEMBER)
    """The part of the picture that is shown; None for all of it."""
    tokens: int | None = field(default=None, metadata=LATER_MEMBER)
    """The most visual tokens that the clip may cost; None for as many as a recipe gives every look."""

    def __post_init__(self) -> None:
        if self.fps <= 0 or not _in_bounds(self.fps):
            raise ValueError(f"no density of {self.fps} fps: it must be positive, with no part above {MAX_DENSITY_PART}")
        if self.tokens is not None and (type(self.tokens) is not int or not 0 < self.tokens <= MAX_TOKENS):
            raise ValueError(f"no quota of {self.tokens} tokens: it must be a whole number from 1 to {MAX_TOKENS}")

    @property
    def has_limits(self) -> bool:
        """Whether it has a box or a token quota: what can't act on one refuses it."""
        return self.box is not None or self.tokens is not None


def print_seconds(time_cs: int) -> str:
    """A time as seconds with two decimals: `1200` is `12.00`."""
    return f"{time_cs // 100}.{time_cs % 100:02d}"


def print_span(window: Window) -> str:
    """A window as a span: `12.00 - 20.00`."""
    return f"{print_seconds(window.start_cs)} - {print_seconds(window.end_cs)}"


def read_span(text: str) -> tuple[int, int] | None:
    """Start and end in centiseconds if the text is a canonical span, even an empty or reversed one; else None."""
    span_match = _SPAN.fullmatch(text)
    if span_match is None:
        return None
    start_s, start_decimals, end_s, end_decimals = span_match.groups()
    return int(start_s + start_decimals), int(end_s + end_decimals)


def print_box(box: Box) -> str:
    """A box as its four sides: `120 40 560 800`."""
    return f"{box.x1} {box.y1} {box.x2} {box.y2}"


def read_box(text: str) -> Box | None:
    """The inverse of `print_box`; None for any other text."""
    sides = read_box_sides(text)
    if sides is None:
        return None
    try:
        return Box(*sides)
    except ValueError:
        return None


def read_box_sides(text: str) -> tuple[int, int, int, int] | None:
    """The four sides if the text is canonical, even of a box that is empty, reversed or outside the picture; else None."""
    match = _BOX.fullmatch(text)
    if match is None:
        return None
    x1, y1, x2, y2 = map(int, match.groups())
    return x1, y1, x2, y2


def print_limits(look: Look) -> str:
    """The box and the quota of a look for people, behind window and density; nothing where it has none."""
    box_text = f", box {print_box(look.box)}" if look.box else ""
    return box_text if look.tokens is None else f"{box_text}, at most {look.tokens} tokens"


def print_density(fps: Fraction) -> str:
    """A density in its one printed form: an integer `2`, else a terminating decimal `0.5`, else a reduced fraction `1/3`."""
    decimals = _decimals(fps.denominator)
    if decimals is None:
        return f"{fps.numerator}/{fps.denominator}"
    digits = str(abs(fps.numerator) * 10**decimals // fps.denominator).rjust(decimals + 1, "0")
    point_position = len(digits) - decimals
    return "-" * (fps < 0) + digits[:point_position] + "." * (decimals > 0) + digits[point_position:]


@lru_cache(maxsize=256)  # a corpus uses a handful of densities, and building a Fraction costs as much as the rest of a parse
def read_density(text: str) -> Fraction | None:
    """The density if the text is canonical, even one that is zero or negative; else None."""
    if _DENSITY.fullmatch(text) is None:
        return None
    try:
        fps = Fraction(text)
    except ZeroDivisionError:
        return None
    return fps if _in_bounds(fps) and print_density(fps) == text else None


def _in_bounds(fps: Fraction) -> bool:
    return abs(fps.numerator) <= MAX_DENSITY_PART and fps.denominator <= MAX_DENSITY_PART


def _decimals(denominator: int) -> int | None:
    """How many decimals 1/denominator has, None if they never end."""
    factor_counts = {2: 0, 5: 0}
    for prime_factor in factor_counts:
        while denominator % prime_factor == 0:
            denominator //= prime_factor
            factor_counts[prime_factor] += 1
    return max(factor_counts.values()) if denominator == 1 else None
