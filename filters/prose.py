"""Rules about what is written in thoughts: how much, how often the same, and in which language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from dmforge.filters.judged import Fault, Judged, Measure, Stretch

GRAM = 4
"""Words in a row that are counted as said again."""
OFTEN = 2
"""So often the same words may stand in a thought: whoever compares two frames says the same twice."""
CHUNK = 14
"""Words at least of what is taken as one piece of language: of fewer one can't tell."""
LEAST_SPOKEN = 8
"""A thought of fewer words is judged by its letters alone."""
LATIN_SHARE = 0.7
ENGLISH_SHARE = 0.15
"""Of the words of English prose .3 to .5 are among these; of other languages hardly any, since most of what they share is left
out, and the rest counts half."""
_TOKEN = re.compile(
    "[\u0e00-\u0e7f\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\\W_]+(?:['\u2019.:][^\\W_]+)*"
)
_STOP = re.compile(r"[.!?](?=\s|$)|[\u3002\uff01\uff1f\n]")
_LATIN = re.compile("[A-Za-z\u00aa-\u024f\u1e00-\u1eff]")
ENGLISH = frozenset(
    re.findall(
        r"\w+",
        """the and but of to it its at by for from with without into onto over under between behind before after while until
        then than that this these those there here is are were be been being has have had does did not my you your his she
        they them their our one two three first next last what which who whose when where why how can could would shall should
        may might must now only just also both each all any some more most other another up down out off again still because
        about around through during very too""",
    )
) | frozenset(re.findall(r"\w+", "frame frames second seconds video shows show shown see seen look looks left right"))
HALF = frozenset(re.findall(r"\w+", "in on an he we or was her will i if"))


@dataclass(frozen=True, slots=True)
class Word:
    """A word and its place; in scripts without blanks a letter."""

    text: str
    start: int
    end: int


def length(judged: Judged, least: int, most: int) -> Measure:
    """Is each thought neither a few words nor endless?"""
    score = 1.0
    faults: list[Fault] = []
    for thought in judged.thoughts:
        count = len(words(thought))
        fits = count / least if count < least else most / count if count > most else 1.0
        score = min(score, fits)
        if fits < 1:
            faults.append(Fault(f"{count} words; a thought has {least} to {most}", thought.start, thought.end))
    return Measure(score, len(judged.thoughts), "too short or too long" if faults else "", tuple(faults))


def repetition(judged: Judged) -> Measure:
    """How much of the thought that repeats itself most is new, or said for the second time?"""
    found = [_repeated(words(thought)) for thought in judged.thoughts]
    score, n = min((score, n) for score, n, _ in found)
    faults = tuple(fault for _, _, fault in found if fault is not None)
    return Measure(score, n, "says the same again and again" if faults else "", faults)


def language(judged: Judged) -> Measure:
    """How much of the thought that is least so is English?"""
    score, n = 1.0, 0
    faults: list[Fault] = []
    for thought in judged.thoughts:
        foreign = total = 0
        for chunk in _chunks(thought):
            total += len(chunk)
            if not _is_english(chunk):
                foreign += len(chunk)
                said = " ".join(word.text for word in chunk[:8])
                faults.append(Fault(f"not English: {said}", chunk[0].start, chunk[-1].end))
        score, n = min(score, 1 - foreign / total if total else 1.0), n + total
    return Measure(score, n, "another language" if faults else "", tuple(faults))


def words(stretch: Stretch) -> list[Word]:
    """All words of a stretch, with their places in the whole text."""
    return [
        Word(found.group(), stretch.start + found.start(), stretch.start + found.end())
        for found in _TOKEN.finditer(stretch.text)
    ]


def _repeated(said: list[Word]) -> tuple[float, int, Fault | None]:
    """The share of rows of words that come for the first or second time; and where the others begin."""
    grams = [tuple(word.text.casefold() for word in said[at : at + GRAM]) for at in range(len(said) - GRAM + 1)]
    seen = Counter[tuple[str, ...]]()
    again: list[int] = []
    for at, gram in enumerate(grams):
        seen[gram] += 1
        if seen[gram] > OFTEN:
            again.append(at)
    if not again:
        return 1.0, len(grams), None
    first, last = said[again[0]], said[again[-1] + GRAM - 1]
    told = f"{len(again)} of {len(grams)} times four words in a row were said twice before"
    return 1 - len(again) / len(grams), len(grams), Fault(told, first.start, last.end)


def _chunks(thought: Stretch) -> Iterator[list[Word]]:
    """Sentences, short ones together with what follows."""
    ends = [thought.start + stop.start() for stop in _STOP.finditer(thought.text)] + [thought.end]
    chunk: list[Word] = []
    pieces: list[list[Word]] = []
    at = 0
    said = words(thought)
    for end in ends:
        while at < len(said) and said[at].start < end:
            chunk.append(said[at])
            at += 1
        if len(chunk) >= CHUNK:
            pieces.append(chunk)
            chunk = []
    if chunk and pieces:
        pieces[-1] = pieces[-1] + chunk
    elif chunk:
        pieces.append(chunk)
    yield from pieces


def _is_english(chunk: list[Word]) -> bool:
    letters = [letter for word in chunk for letter in word.text if letter.isalpha()]
    if not letters:
        return True
    if sum(_LATIN.match(letter) is not None for letter in letters) < LATIN_SHARE * len(letters):
        return False
    spoken = [word.text.casefold() for word in chunk if word.text[0].isalpha()]
    weight = sum(1.0 if word in ENGLISH else 0.5 if word in HALF else 0.0 for word in spoken)
    return len(spoken) < LEAST_SPOKEN or weight >= ENGLISH_SHARE * len(spoken)
