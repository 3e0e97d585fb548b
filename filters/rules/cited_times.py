"""The times that a thought cites: `at 12.3 seconds`, `4.83s`, `0.00 - 24.56s`, `at 1:05`; but not durations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from dmforge.filters.rules.rule import TextSpan

_NUMBER = r"[0-9]{1,7}(?:\.[0-9]{1,6})?"
_UNIT = r"(?:\s?|-)(?:s|secs?|seconds?)\b(?!-(?:long|old))"
_RANGE_SEPARATOR = r"(?:\s?(?:-|\u2013|\u2014|~)\s?|\s(?:to|until|till|through|and|or)\s(?:about\s|around\s)?)"
_CLOCK = r"(?:[0-9]{1,2}:)?[0-9]{1,3}:[0-5][0-9](?:\.[0-9]{1,3})?"
_RANGE = re.compile(rf"(?<![\w.:])({_NUMBER})({_UNIT})?{_RANGE_SEPARATOR}({_NUMBER}){_UNIT}", re.IGNORECASE)
_SECONDS = re.compile(rf"(?<![\w.:])({_NUMBER}){_UNIT}", re.IGNORECASE)
_DECIMAL_AFTER_AT = re.compile(
    r"(?<=\b(?:at|by)\s)([0-9]{1,7}\.[0-9]{1,6})(?![0-9.]*\s?(?:%|fps\b|frames?\b|hz\b|x\b|m\b|cm\b|km\b|kg\b))",
    re.IGNORECASE,
)
_CLOCK_TIME = re.compile(rf"(?<![\w.:])({_CLOCK})(?![\w:])")
_APPROXIMATELY = (
    r"(?:about\s|around\s|roughly\s|nearly\s|almost\s|only\s|some\s|another\s)?(?:the\s(?:first\s|last\s|next\s)?)?"
)
_POINT_PREFIX = re.compile(
    rf"(?:\b(?:at|around|near|by|until|till|from|to|between|since|through|timestamps?|mark)|@|\bt\s?=)\s?{_APPROXIMATELY}$",
    re.IGNORECASE,
)
"""Words before a number that is a point in time, where the number alone doesn't tell."""
_DURATION_PREFIX = re.compile(
    rf"\b(?:for|lasts?|lasting|lasted|takes?|taking|took|within|every|spans?|spanning|over|an?|total of)\s{_APPROXIMATELY}$",
    re.IGNORECASE,
)
"""Words before a number of seconds that is a duration."""
_DURATION_SUFFIX = re.compile(
    r"\s(?:later|earlier|long|apart|afterwards?|each|per|of\s(?!the\svideo)|in\s(?:length|total))\b", re.IGNORECASE
)
"""Words after such a number."""
_PREFIX_CHARS = 40
"""How many characters before a time are searched for these words."""


@dataclass(frozen=True, slots=True)
class CitedTime:
    """A time as a thought cites it, with its place in the text."""

    time_cs: int
    slack_cs: int
    """Half a unit of the last digit: `12.3` may be anything from 12.25 to 12.35."""
    text: str
    start: int
    end: int


@lru_cache(maxsize=256)  # two rules ask for the same
def cited_times(thought: TextSpan) -> tuple[CitedTime, ...]:
    """Every time that a thought cites, in the order of the text."""
    citation_by_start: dict[int, CitedTime] = {}
    for time_match in _RANGE.finditer(thought.text):
        for match_group in (1, 3):
            _add_citation(citation_by_start, time_match, match_group, thought)
    for time_match in _SECONDS.finditer(thought.text):
        if thought.start + time_match.start(1) not in citation_by_start and _is_point(thought.text, time_match):
            _add_citation(citation_by_start, time_match, 1, thought)
    for time_match in _DECIMAL_AFTER_AT.finditer(thought.text):
        _add_citation(citation_by_start, time_match, 1, thought)
    for time_match in _CLOCK_TIME.finditer(thought.text):
        if time_match[1].startswith("0") or _POINT_PREFIX.search(
            thought.text[max(0, time_match.start() - _PREFIX_CHARS) : time_match.start()]
        ):
            citation_start = thought.start + time_match.start(1)
            citation_by_start.setdefault(
                citation_start,
                CitedTime(_clock_cs(time_match[1]), 50, time_match[1], citation_start, citation_start + len(time_match[1])),
            )
    return tuple(sorted(citation_by_start.values(), key=lambda citation: citation.start))


def _is_point(text: str, match: re.Match[str]) -> bool:
    """Whether a match is a point in time (`at 12 s`, `12.3 s`), not a duration (`for 2.5 s`, `8 s later`)."""
    preceding_text = text[max(0, match.start() - _PREFIX_CHARS) : match.start()]
    if _DURATION_PREFIX.search(preceding_text) or _DURATION_SUFFIX.match(text, match.end()):
        return False
    return "." in match[1] or _POINT_PREFIX.search(preceding_text) is not None


def _add_citation(
    citation_by_start: dict[int, CitedTime], time_match: re.Match[str], match_group: int, thought: TextSpan
) -> None:
    citation_start, number_text = thought.start + time_match.start(match_group), time_match[match_group]
    decimal_count = len(number_text.partition(".")[2])
    time_cs = int((Decimal(number_text) * 100).to_integral_value())
    citation_by_start.setdefault(
        citation_start,
        CitedTime(
            time_cs,
            (50, 5)[decimal_count] if decimal_count < 2 else 0,
            number_text,
            citation_start,
            citation_start + len(number_text),
        ),
    )


def _clock_cs(clock_text: str) -> int:
    total_s = Decimal(0)
    for clock_part in clock_text.split(":"):
        total_s = total_s * 60 + Decimal(clock_part)
    return int((total_s * 100).to_integral_value())
