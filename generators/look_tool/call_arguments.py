"""Reads the arguments of a call of `crop_video`, by whoever wrote them: exact in value, tolerant in form, total."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from dmforge.schemas.dialects.tool_dialect import FUNCTION, PARAMETER_NAMES
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import MAX_CS, Box, Look, Window, read_density

_HINT = 'call it like {"start_time": 12, "end_time": 20.5, "fps": 2}'
_MAX_WORD = 40
"""Characters of a foreign value that an error quotes."""


def read_arguments(arguments: Mapping[str, object]) -> Look:
    """The look that a call asks for. Whatever can't be one is refused with its name, and nothing is rounded."""
    if not isinstance(arguments, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] (who writes a call writes anything)
        raise InputError(f"an object of arguments is needed, not {_quoted(arguments)}", where=FUNCTION, hint=_HINT)
    unknown_names = [name for name in arguments if name not in PARAMETER_NAMES]
    if unknown_names:
        raise _refusal(unknown_names[0][:_MAX_WORD], f"there is no such argument; there are {', '.join(PARAMETER_NAMES)}")
    start_cs, end_cs = (_read_centiseconds(name, arguments.get(name)) for name in ("start_time", "end_time"))
    if start_cs >= end_cs:
        raise _refusal("end_time", f"the part ends at {end_cs / 100:g} s, and begins at {start_cs / 100:g} s")
    fps, box, tokens = _read_fps(arguments.get("fps")), _read_box(arguments.get("box")), arguments.get("max_tokens")
    if tokens is not None and type(tokens) is not int:
        raise _refusal("max_tokens", f"a whole number is needed, not {_quoted(tokens)}")
    try:
        return Look(Window(start_cs, end_cs), fps, box, tokens)
    except ValueError as error:
        raise _refusal("fps" if tokens is None else "fps, max_tokens", str(error)) from None


def _read_centiseconds(name: str, value: object) -> int:
    number = _read_number(value)
    if number is None or not 0 <= number * 100 <= MAX_CS:
        raise _refusal(name, f"seconds from 0 to {MAX_CS // 100} are needed, not {_quoted(value)}")
    if (number * 100).denominator != 1:
        raise _refusal(name, f"seconds have at most two decimals, unlike {_quoted(value)}")
    return int(number * 100)


def _read_fps(value: object) -> Fraction:
    fps = read_density(value) if isinstance(value, str) else _read_number(value)
    if fps is None or fps <= 0:
        raise _refusal("fps", f'frames per second above 0 are needed, like 2, 0.5 or "1/3", not {_quoted(value)}')
    return fps


def _read_number(value: object) -> Fraction | None:
    """A JSON number, as it is printed: 0.1 is a tenth. Numbers without end are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return Fraction(value if isinstance(value, int) else repr(value))
    except ValueError:  # not a number, or infinite
        return None


def _read_box(value: object) -> Box | None:
    if value is None:
        return None
    sides = list(value) if isinstance(value, list | tuple) else []  # pyright: ignore[reportUnknownArgumentType]
    try:
        return Box(*sides)
    except (ValueError, TypeError):
        message = f"four whole numbers from 0 to 1000 are needed, left, top, right, bottom, not {_quoted(value)}"
        raise _refusal("box", message) from None


def _quoted(value: object) -> str:
    """A foreign value for an error, cut short."""
    if isinstance(value, int) and abs(value) > MAX_CS:
        return "a number so large"
    printed = "nothing" if value is None else repr(value)
    return printed if len(printed) <= _MAX_WORD else f"{printed[:_MAX_WORD]}..."


def _refusal(name: str, message: str) -> InputError:
    return InputError(message, where=f"{FUNCTION}: {name}", hint=_HINT)
