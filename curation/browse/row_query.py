"""A view of the rows: which ones, in which order. An address is a view, and every part of it is checked before it is asked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self
from urllib.parse import parse_qsl

from dmforge.curation.browse.row_index import FACETS
from dmforge.schemas.errors import InputError

DECISION = "decision"
"""The column of what this reviewer decided: it changes while the page is open."""
NAMED = (*FACETS, DECISION)
NUMBER = r"(-?[0-9]{1,9}(?:\.[0-9]{0,17})?)?"
RANGE = re.compile(rf"{NUMBER}\.\.(<?){NUMBER}")
SCORE = "score."
"""The beginning of the names of score columns in an address: `score.answer=0..0.7`, `score.answer=..<0.7`."""
SORTS = ("drawn", "fails", "length")
"""Orders beside those by a score: as drawn by id, most failing scores first, longest thoughts first. `-` turns one around."""
MAP = "map"
"""The part of an address that says where on the map of questions a row's question lies: left, low, right, high."""
MAP_SIDE = 1000
"""Places on the map, from left to right and from bottom to top."""
MAP_AREA = re.compile(r"([0-9]{1,4}),([0-9]{1,4}),([0-9]{1,4}),([0-9]{1,4})")
MAX_WORDS, MAX_WORD_CHARS = 12, 100
MAX_PARTS, MAX_ADDRESS_CHARS = 400, 8_000
HINT = "take the address of a view as the page writes it"


class MapArea(NamedTuple):
    """A rectangle on the map of questions, its edges included."""

    left: int
    low: int
    right: int
    high: int


@dataclass(frozen=True, slots=True)
class ScoreRange:
    """The scores from low to high, both included; or all below high."""

    low: float
    high: float
    below: bool = False


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Which rows are shown, and in which order."""

    names: tuple[tuple[str, frozenset[str]], ...] = ()
    """By column, the names of which a row has one."""
    ranges: tuple[tuple[str, ScoreRange], ...] = ()
    """By filter, where the score of a row lies."""
    words: tuple[str, ...] = ()
    """What its task or its thoughts hold, in small letters."""
    sort: str = SORTS[0]
    area: MapArea | None = None
    """Where on the map of questions its question lies."""

    @classmethod
    def read(cls, address: str) -> Self:
        """The view of an address, of what follows its question mark; other parts of it are for the page."""
        if len(address) > MAX_ADDRESS_CHARS:
            raise InputError("the address is too long for a view", where="view", hint=HINT)
        try:
            parts = parse_qsl(address, keep_blank_values=True, max_num_fields=MAX_PARTS, errors="strict")
        except ValueError as error:
            raise InputError(f"not the address of a view: {error}", where="view", hint=HINT) from None
        names: dict[str, set[str]] = {}
        for key, value in parts:
            if key in NAMED:
                names.setdefault(key, set()).add(value)
        values = dict(parts)
        return cls(
            tuple(sorted((column, frozenset(chosen)) for column, chosen in names.items())),
            tuple(sorted(_ranges(parts))),
            _words(values.get("q", "")),
            values.get("sort") or SORTS[0],
            _area(values[MAP]) if MAP in values else None,
        )

    @property
    def sorts_backwards(self) -> bool:
        return self.sort.startswith("-")

    @property
    def sort_column(self) -> str:
        return self.sort.removeprefix("-")


def _ranges(parts: Iterable[tuple[str, str]]) -> Iterable[tuple[str, ScoreRange]]:
    ranges: Mapping[str, str] = {key.removeprefix(SCORE): value for key, value in parts if key.startswith(SCORE)}
    for filter_name, text in ranges.items():
        limits = RANGE.fullmatch(text)
        if limits is None:
            hint = "0.5..0.7, 0.5.., ..0.7, or ..<0.7 for what is less"
            raise InputError(f"{text[:40]!r} is no range of scores", where=f"{SCORE}{filter_name[:40]}", hint=hint)
        low, below, high = limits.groups()
        yield filter_name, ScoreRange(float(low or -math.inf), float(high or math.inf), bool(below))


def _area(text: str) -> MapArea:
    numbers = MAP_AREA.fullmatch(text)
    if numbers is None or max(map(int, numbers.groups())) > MAP_SIDE:
        hint = f"left, low, right and high, from 0 to {MAP_SIDE}: map=100,200,300,400"
        raise InputError(f"{text[:40]!r} is no part of the map", where=MAP, hint=hint)
    return MapArea(*map(int, numbers.groups()))


def _words(text: str) -> tuple[str, ...]:
    """The words of a search, each once."""
    words = dict.fromkeys(text.lower().split())
    if len(words) > MAX_WORDS or any(len(word) > MAX_WORD_CHARS for word in words):
        hint = f"up to {MAX_WORDS} words of {MAX_WORD_CHARS} letters"
        raise InputError("there are too many letters to search for", where="q", hint=hint)
    return tuple(words)
