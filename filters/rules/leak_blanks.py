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

    def plain(self, thought_text: str) -> str:
        """A thought with all but the words of the question blanked."""
        return _blanked(thought_text, self.answer, self.rivals, self.bounds)

    def without_question(self, plain_text: str) -> str:
        """And with these blanked, too."""
        return WORD.sub(
            lambda word_match: (
                SCENE * len(word_match.group()) if _stem(word_match.group()) in self.question_stems else word_match.group()
            ),
            plain_text,
        )


def blanks_of(rule_input: RuleInput) -> TaskBlanks:
    """What is blanked in the thoughts of a trajectory."""
    question_stems = _stems(" ".join((rule_input.question, *rule_input.options)))
    return TaskBlanks(question_stems, _answer(rule_input), _rivals(rule_input), _bounds(rule_input))


def _blanked(
    text: str, answer_pattern: re.Pattern[str] | None, rivals_pattern: re.Pattern[str] | None, bounds_s: frozenset[float]
) -> str:
    """As long as the text: what gives the answer and what is quoted is blanked, and no number ends a sentence."""
    text = text.replace("\u2019", "'")
    if answer_pattern:
        text = answer_pattern.sub(
            lambda answer_match: (LETTER if answer_match.group("letter") else GOLD) * len(answer_match.group()), text
        )
    if rivals_pattern:
        text = rivals_pattern.sub(lambda rival_match: RIVAL * len(rival_match.group()), text)
    text = SPELT.sub(lambda number_match: _spelt(number_match.group(), bounds_s), text)
    text = NUMBER.sub(lambda number_match: _number(number_match.group(), bounds_s), text)
    text = BOUNDS.sub(lambda bounds_match: PAIR * len(bounds_match.group()), text)
    text = QUOTED.sub(
        lambda quote_match: (
            quote_match.group() if NAMES_TRUTH.search(quote_match.group()) else QUOTE * len(quote_match.group())
        ),
        text,
    )
    return text.translate(LOWER)


def _number(number_text: str, bounds_s: frozenset[float]) -> str:
    return (
        BOUND * len(number_text) if len(number_text) < 12 and float(number_text) in bounds_s else number_text.replace(".", "_")
    )


def _spelt(number_words: str, bounds_s: frozenset[float]) -> str:
    """A bound in words."""
    tens_word, _, units_word = number_words.casefold().replace("-", " ").partition(" ")
    spelt_seconds = (
        10 * TENS.index(tens_word) + (UNITS.index(units_word) if units_word else 0)
        if tens_word in TENS
        else UNITS.index(tens_word)
    )
    return BOUND * len(number_words) if spelt_seconds in bounds_s else number_words


def _rivals(rule_input: RuleInput) -> re.Pattern[str] | None:
    """What names another option than the answer's."""
    answer_indices = {choice(answer_text, rule_input.options) for answer_text in (rule_input.gold, rule_input.answers[0].text)}
    named_stems = _stems(
        " ".join(
            (
                rule_input.question,
                *(rule_input.options[option_index] for option_index in answer_indices if option_index is not None),
            )
        )
    )
    rival_patterns = [
        option_text
        for option_index, option in enumerate(rule_input.options)
        if option_index not in answer_indices
        for option_text in _texts(option, named_stems)
    ]
    return re.compile(rf"{_ALONE}(?:{'|'.join(rival_patterns)}){_ENDED}", re.IGNORECASE) if rival_patterns else None


def _answer(rule_input: RuleInput) -> re.Pattern[str] | None:
    """What names the answer, gold or written: its letter, its text, the words of a short one."""
    question_text = " ".join((rule_input.question, *rule_input.options))
    letter_patterns: list[str] = []
    text_patterns: list[str] = []
    for answer_text in (rule_input.gold, rule_input.answers[0].text):
        option_index = choice(answer_text, rule_input.options)
        if option_index is not None:
            letter_patterns += _letters(option_index, question_text)
            answer_text = rule_input.options[option_index]
        other_task_texts = " ".join((rule_input.question, *(option for option in rule_input.options if option != answer_text)))
        text_patterns += _texts(answer_text, _stems(other_task_texts)) if rule_input.kind != "grounding" else []
    if not letter_patterns and not text_patterns:
        return None
    letter_class, text_class = words(" | ".join(letter_patterns or ["(?!)"])), words(" | ".join(text_patterns or ["(?!)"]))
    return re.compile(rf"{_ALONE}(?:(?P<letter>{letter_class})|{text_class}){_ENDED}", re.IGNORECASE)


def _letters(option_index: int, question_text: str) -> Iterator[str]:
    """Unless the question has the letter for something else."""
    option_letter = chr(ord("A") + option_index)
    yield from (
        rf"{ordinal_word}\s(?:alternative|option|choice|answer|candidate|one)"
        for ordinal_word in ORDINALS[option_index : option_index + 1]
    )
    if option_letter.isalpha() and not re.search(rf"\b{option_letter}\b", question_text):
        not_an_article = r"(?=\s*(?:[).,;:!?]|$|is\b|was\b|as\b))" if option_letter == "A" else ""
        yield f"(?-i:{option_letter}){not_an_article}"


def _texts(text: str, stems_of_others: frozenset[str]) -> Iterator[str]:
    """A text as it stands, and what of it no other text has."""
    text_words = re.findall(r"\w+", text)[:12]
    content_words = [word for word in text_words if word.casefold() not in SMALL]
    if not content_words and text.casefold() not in NUMERALS:
        content_words = text_words[: len(text_words) == 1]
    if not content_words:
        return
    words_pattern = r"\W+".join(map(re.escape, text_words))
    yield words_pattern + (r"(?=\s*(?:['\".,;:!?)]|$))" if words_pattern.casefold() in ("no", "none") else "")
    for text_word in content_words if 1 < len(content_words) < 3 else []:
        if _stem(text_word) not in stems_of_others:
            yield f"{re.escape(text_word)}s?"
    if len(content_words) == 1 and len(content_words[0]) > 2:
        yield f"{re.escape(content_words[0])}s?"
    for text_word in map(str.casefold, content_words):
        if text_word in NUMERALS:
            yield str(NUMERALS.index(text_word))
        elif text_word in map(str, range(len(NUMERALS))):
            yield NUMERALS[int(text_word)]


def _bounds(rule_input: RuleInput) -> frozenset[float]:
    """In seconds, of the windows where the answer shows and of the answer itself."""
    answer_spans_cs = (read_span(answer_text.strip()) for answer_text in (rule_input.gold, rule_input.answers[0].text))
    gold_bounds_cs = ((gold_window.start_cs, gold_window.end_cs) for gold_window in rule_input.windows)
    return frozenset(time_cs / 100 for bounds_cs in (*answer_spans_cs, *gold_bounds_cs) if bounds_cs for time_cs in bounds_cs)


def _stems(text: str) -> frozenset[str]:
    return frozenset(_stem(text_word) for text_word in WORD.findall(text) if text_word.casefold() not in SMALL)


def _stem(word: str) -> str:
    word = word.casefold()
    return IRREGULAR.get(word, word.removesuffix("s")[:5])
