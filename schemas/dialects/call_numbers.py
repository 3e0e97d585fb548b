"""Numbers in the JSON of a call: each has one printed form, the shortest, as Python's json prints it where it can."""

from __future__ import annotations

import re
from fractions import Fraction

from dmforge.schemas.looks import print_density, read_density

SECONDS = r"(?:0|[1-9][0-9]{0,6})(?:\.[0-9]?[1-9])?"
"""Seconds as `print_call_seconds` prints them; its match is what `read_call_seconds` reads."""
DENSITY = r'[0-9.]{1,28}|"[0-9/]{1,15}"'
"""What may be a density; `read_call_density` says whether it is one."""
COUNT = r"[1-9][0-9]{0,8}"
"""A whole number above zero."""


def print_call_seconds(time_cs: int) -> str:
    """A time as a JSON number of seconds: `12`, `12.5`, `12.34`."""
    return f"{time_cs // 100}.{time_cs % 100:02d}".rstrip("0").rstrip(".")


def read_call_seconds(number: str) -> int:
    """The centiseconds of a number that `SECONDS` matches."""
    seconds, _, decimals = number.partition(".")
    return int(seconds + decimals.ljust(2, "0"))


def print_call_density(fps: Fraction) -> str:
    """A density as a JSON number, `2` or `0.5`; as a text where its decimals never end, `"1/3"`."""
    density = print_density(fps)
    return f'"{density}"' if "/" in density else density


def read_call_density(text: str) -> Fraction | None:
    """The density of such a value, if it is canonical; else None."""
    is_text = re.fullmatch(r'".*"', text) is not None
    density = text[1:-1] if is_text else text
    return read_density(density) if is_text == ("/" in density) else None
