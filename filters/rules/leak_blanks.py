"""A thought with symbols written over what it names: the answer, its letter, other options, bounds of the window, quotations.

A blanked text is as long as the thought, so that a place in one is a place in the other.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

from dmforge.filters.rules.leak_words import BOUND, GOLD, LETTER, PAIR, QUOTE, RIVAL, SCENE, TRUTH, words
from dmforge.filters.rules.rule import RuleInput
from dmforge.schemas.looks import read_span
from dmforge.schemas.scoring import choice

QUOTED = re.compile(
    r"(?<!\w)'[^'.!?;\n]{1,80}'(?!\w)|\"[^\"\n]{1,80}\"|\u201c[^\u201d\n]{1,80}\u201d|\u2018[^\u2019\n]{1,80}\u2019(?!\w)"
)
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
BOUNDS = re.compile(rf"{BOUND}+(?:[^\w.!?;\n]+|s\b|to\b|and\b|until\b|till\b|seconds\b|through\b){{1,6}}{BOUND}+")
_ALONE, _ENDED = r"(?<!\w)(?<!\w')(?<!\d\.)", r"(?!\w)(?!\.\d)"
"""Around what names an answer: it is no part of a word, and no digit of a time."""
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
SPELT = re.compile(
    rf"\b(?:(?:{'|'.join(TENS[2:])})(?:[- ](?:{'|'.join(UNITS[1:10])}))?|(?:{'|'.join(UNITS[3:])}))\b", re.IGNORECASE
)
"""Bounds of a window in words."""
WORD = re.compile(r"[^\W\d_]{3,}")
NAMES_TRUTH = re.compile(TRUTH)
SMALL = {
    "the", "a", "an", "of", "in", "on", "at", "to", "by", "with", "and", "or", "it", "is", "from", "for", "into", "as",
    "be", "been", "was", "were", "are", "has", "have", "had", "does", "did", "do", "that", "this", "these", "which", "what",
    "who", "when", "where", "why", "how", "they", "their", "there", "not", "after", "before", "then", "than", "she", "he",
    "her", "his", "him", "its", "one", "them", "no", "some",
}  # fmt: skip
"""No word of these says what a question is about."""
NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
IRREGULAR = {"told": "tell", "gave": "give", "knew": "know", "known": "know", "said": "say", "says": "say"}
"""Without `given`: an answer is given also where the question asks who gives something."""


LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
"""Of the same length, unlike `str.lower`; and without `re.IGNORECASE` signs are found sooner."""


@dataclass(frozen=True)
class TaskBlanks:
    """What a task's thoughts may name."""

    question_stems: frozenset[str]
    """Stems of the question and its options."""
    answer: re.Pattern[str] | None
    rivals: re.Pattern[str] | None
    bounds: frozenset[float]

    def plain(self, thought: str) -> str:
        """A thought with all but the words of the question blanked."""
        return _blanked(thought, self.answer, self.rivals, self.bounds)

    def without_question(self, plain: str) -> str:
        """And with these blanked, too."""
        return WORD.sub(
            lambda word: SCENE * len(word.group()) if _stem(word.group()) in self.question_stems else word.group(), plain
        )


def blanks_of(rule_input: RuleInput) -> TaskBlanks:
    """What is blanked in the thoughts of a trajectory."""
    question_stems = _stems(" ".join((rule_input.question, *rule_input.options)))
    return TaskBlanks(question_stems, _answer(rule_input), _rivals(rule_input), _bounds(rule_input))


def _blanked(text: str, answer: re.Pattern[str] | None, rivals: re.Pattern[str] | None, bounds: frozenset[float]) -> str:
    """As long as the text: what gives the answer and what is quoted is blanked, and no number ends a sentence."""
    text = text.replace("\u2019", "'")
    if answer:
        text = answer.sub(lambda match: (LETTER if match.group("letter") else GOLD) * len(match.group()), text)
    if rivals:
        text = rivals.sub(lambda rival: RIVAL * len(rival.group()), text)
    text = SPELT.sub(lambda number: _spelt(number.group(), bounds), text)
    text = NUMBER.sub(lambda number: _number(number.group(), bounds), text)
    text = BOUNDS.sub(lambda pair: PAIR * len(pair.group()), text)
    text = QUOTED.sub(lambda quote: quote.group() if NAMES_TRUTH.search(quote.group()) else QUOTE * len(quote.group()), text)
    return text.translate(LOWER)


def _number(text: str, bounds: frozenset[float]) -> str:
    return BOUND * len(text) if len(text) < 12 and float(text) in bounds else text.replace(".", "_")


def _spelt(text: str, bounds: frozenset[float]) -> str:
    """A bound in words."""
    tens, _, units = text.casefold().replace("-", " ").partition(" ")
    seconds = 10 * TENS.index(tens) + (UNITS.index(units) if units else 0) if tens in TENS else UNITS.index(tens)
    return BOUND * len(text) if seconds in bounds else text


def _rivals(rule_input: RuleInput) -> re.Pattern[str] | None:
    """What names another option than the answer's."""
    answers = {choice(text, rule_input.options) for text in (rule_input.gold, rule_input.answers[0].text)}
    named = _stems(" ".join((rule_input.question, *(rule_input.options[nth] for nth in answers if nth is not None))))
    texts = [text for nth, option in enumerate(rule_input.options) if nth not in answers for text in _texts(option, named)]
    return re.compile(rf"{_ALONE}(?:{'|'.join(texts)}){_ENDED}", re.IGNORECASE) if texts else None


def _answer(rule_input: RuleInput) -> re.Pattern[str] | None:
    """What names the answer, gold or written: its letter, its text, the words of a short one."""
    question_text = " ".join((rule_input.question, *rule_input.options))
    letters: list[str] = []
    texts: list[str] = []
    for text in (rule_input.gold, rule_input.answers[0].text):
        nth = choice(text, rule_input.options)
        if nth is not None:
            letters += _letters(nth, question_text)
            text = rule_input.options[nth]
        others = " ".join((rule_input.question, *(option for option in rule_input.options if option != text)))
        texts += _texts(text, _stems(others)) if rule_input.kind != "grounding" else []
    if not letters and not texts:
        return None
    letter, named = words(" | ".join(letters or ["(?!)"])), words(" | ".join(texts or ["(?!)"]))
    return re.compile(rf"{_ALONE}(?:(?P<letter>{letter})|{named}){_ENDED}", re.IGNORECASE)


def _letters(nth: int, question_text: str) -> Iterator[str]:
    """Unless the question has the letter for something else."""
    letter = chr(ord("A") + nth)
    yield from (rf"{ordinal}\s(?:alternative|option|choice|answer|candidate|one)" for ordinal in ORDINALS[nth : nth + 1])
    if letter.isalpha() and not re.search(rf"\b{letter}\b", question_text):
        article = r"(?=\s*(?:[).,;:!?]|$|is\b|was\b|as\b))" if letter == "A" else ""
        yield f"(?-i:{letter}){article}"


def _texts(text: str, others: frozenset[str]) -> Iterator[str]:
    """A text as it stands, and what of it no other text has."""
    spelt = re.findall(r"\w+", text)[:12]
    content = [word for word in spelt if word.casefold() not in SMALL]
    if not content and text.casefold() not in NUMERALS:
        content = spelt[: len(spelt) == 1]
    if not content:
        return
    pattern = r"\W+".join(map(re.escape, spelt))
    yield pattern + (r"(?=\s*(?:['\".,;:!?)]|$))" if pattern.casefold() in ("no", "none") else "")
    for word in content if 1 < len(content) < 3 else []:
        if _stem(word) not in others:
            yield f"{re.escape(word)}s?"
    if len(content) == 1 and len(content[0]) > 2:
        yield f"{re.escape(content[0])}s?"
    for word in map(str.casefold, content):
        if word in NUMERALS:
            yield str(NUMERALS.index(word))
        elif word in map(str, range(len(NUMERALS))):
            yield NUMERALS[int(word)]


def _bounds(rule_input: RuleInput) -> frozenset[float]:
    """In seconds, of the windows where the answer shows and of the answer itself."""
    spans = (read_span(text.strip()) for text in (rule_input.gold, rule_input.answers[0].text))
    windows = ((window.start_cs, window.end_cs) for window in rule_input.windows)
    return frozenset(time_cs / 100 for span in (*spans, *windows) if span for time_cs in span)


def _stems(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in WORD.findall(text) if word.casefold() not in SMALL)


def _stem(word: str) -> str:
    word = word.casefold()
    return IRREGULAR.get(word, word.removesuffix("s")[:5])
