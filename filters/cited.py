"""Which times a thought names: `at 12.3 seconds`, `4.83s`, `0.00 - 24.56s`, `at 1:05`; not how long something takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from dmforge.filters.judged import Stretch

_NUMBER = r"[0-9]{1,7}(?:\.[0-9]{1,6})?"
_UNIT = r"(?:\s?|-)(?:s|secs?|seconds?)\b(?!-(?:long|old))"
_TO = r"(?:\s?(?:-|\u2013|\u2014|~)\s?|\s(?:to|until|till|through|and|or)\s(?:about\s|around\s)?)"
_CLOCK = r"(?:[0-9]{1,2}:)?[0-9]{1,3}:[0-5][0-9](?:\.[0-9]{1,3})?"
_RANGE = re.compile(rf"(?<![\w.:])({_NUMBER})({_UNIT})?{_TO}({_NUMBER}){_UNIT}", re.IGNORECASE)
_SECONDS = re.compile(rf"(?<![\w.:])({_NUMBER}){_UNIT}", re.IGNORECASE)
_BARE = re.compile(
    r"(?<=\b(?:at|by)\s)([0-9]{1,7}\.[0-9]{1,6})(?![0-9.]*\s?(?:%|fps\b|frames?\b|hz\b|x\b|m\b|cm\b|km\b|kg\b))",
    re.IGNORECASE,
)
_TIMED = re.compile(rf"(?<![\w.:])({_CLOCK})(?![\w:])")
_ABOUT = r"(?:about\s|around\s|roughly\s|nearly\s|almost\s|only\s|some\s|another\s)?(?:the\s(?:first\s|last\s|next\s)?)?"
_POINT = re.compile(
    rf"(?:\b(?:at|around|near|by|until|till|from|to|between|since|through|timestamps?|mark)|@|\bt\s?=)\s?{_ABOUT}$",
    re.IGNORECASE,
)
"""What stands before a time that is a point, where the number alone doesn't tell."""
_LASTING = re.compile(
    rf"\b(?:for|lasts?|lasting|lasted|takes?|taking|took|within|every|spans?|spanning|over|an?|total of)\s{_ABOUT}$",
    re.IGNORECASE,
)
"""What stands before a number of seconds that is a length."""
_GOES_ON = re.compile(
    r"\s(?:later|earlier|long|apart|afterwards?|each|per|of\s(?!the\svideo)|in\s(?:length|total))\b", re.IGNORECASE
)
"""What stands behind one."""
_BEFORE = 40
"""Characters that are looked at before a time."""


@dataclass(frozen=True, slots=True)
class Cited:
    """A time as it is named, and where."""

    time_cs: int
    slack_cs: int
    """Half of the last digit: `12.3` may be anything from 12.25 to 12.35."""
    text: str
    start: int
    end: int


@lru_cache(maxsize=256)  # two rules ask for the same
def cited_times(thought: Stretch) -> tuple[Cited, ...]:
    """Every time that a thought names, in order."""
    found: dict[int, Cited] = {}
    for match in _RANGE.finditer(thought.text):
        for group in (1, 3):
            _keep(found, match, group, thought)
    for match in _SECONDS.finditer(thought.text):
        if thought.start + match.start(1) not in found and _is_point(thought.text, match):
            _keep(found, match, 1, thought)
    for match in _BARE.finditer(thought.text):
        _keep(found, match, 1, thought)
    for match in _TIMED.finditer(thought.text):
        if match[1].startswith("0") or _POINT.search(thought.text[max(0, match.start() - _BEFORE) : match.start()]):
            start = thought.start + match.start(1)
            found.setdefault(start, Cited(_clock_cs(match[1]), 50, match[1], start, start + len(match[1])))
    return tuple(sorted(found.values(), key=lambda cited: cited.start))


def _is_point(text: str, match: re.Match[str]) -> bool:
    """A point in time, not a length: `at 12 seconds` and `12.3 seconds`, neither `for 2.5 seconds` nor `8 seconds later`."""
    before = text[max(0, match.start() - _BEFORE) : match.start()]
    if _LASTING.search(before) or _GOES_ON.match(text, match.end()):
        return False
    return "." in match[1] or _POINT.search(before) is not None


def _keep(found: dict[int, Cited], match: re.Match[str], group: int, thought: Stretch) -> None:
    start, number = thought.start + match.start(group), match[group]
    decimals = len(number.partition(".")[2])
    time_cs = int((Decimal(number) * 100).to_integral_value())
    found.setdefault(start, Cited(time_cs, (50, 5)[decimals] if decimals < 2 else 0, number, start, start + len(number)))


def _clock_cs(text: str) -> int:
    total = Decimal(0)
    for part in text.split(":"):
        total = total * 60 + Decimal(part)
    return int((total * 100).to_integral_value())
