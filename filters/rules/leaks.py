"""Does a thought treat the answer, the option or the window as known before anything was seen?

What the answer says, words of the question and quotations are blanked. Then each sentence is cut into clauses. A clause, two
neighbours or the whole sentence leaks if there are signs enough (`leak_signs.py`) of someone outside the video who told it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from itertools import pairwise

from dmforge.filters.rules.leak_signs import LEAKS_FROM, SIGNS, LeakSign
from dmforge.filters.rules.leak_words import BOUND, GOLD, LETTER, PAIR, QUOTE, RIVAL, SCENE, TRUTH, words
from dmforge.filters.rules.rule import Finding, RuleInput, RuleScore
from dmforge.schemas.looks import read_span
from dmforge.schemas.scoring import choice

SENTENCE = re.compile(r"[^.!?;\n]{1,2000}")
"""Longer ones are cut: the time stays linear."""
JOINT = re.compile(r"[,:()\u2014]+|\s-\s|\b(?:but|so|though|although|yet|and|while|whereas)\b", re.IGNORECASE)
QUOTED = re.compile(
    r"(?<!\w)'[^'.!?;\n]{1,80}'(?!\w)|\"[^\"\n]{1,80}\"|\u201c[^\u201d\n]{1,80}\u201d|\u2018[^\u2019\n]{1,80}\u2019(?!\w)"
)
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
BOUNDS = re.compile(rf"{BOUND}+(?:[^\w.!?;\n]+|s\b|to\b|and\b|until\b|till\b|seconds\b|through\b){{1,6}}{BOUND}+")
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


def unleaked(judged: RuleInput) -> RuleScore:
    """Does no thought speak of an answer, a window or an annotation that it was given?"""
    faults: list[Finding] = []
    question_stems = _stems(" ".join((judged.question, *judged.options)))
    answer, rivals, bounds = _answer(judged), _rivals(judged), _bounds(judged)
    for nth, thought in enumerate(judged.thoughts):
        plain = _blanked(thought.text, answer, rivals, bounds)
        unasked = WORD.sub(
            lambda word: SCENE * len(word.group()) if _stem(word.group()) in question_stems else word.group(), plain
        )
        for start, end in _leaks(plain, unasked, nth == 0 and len(judged.thoughts) > 1):
            clause = thought.text[start:end].lstrip(" ,:()\u2014-")
            begin, stop = thought.start + end - len(clause), thought.start + end
            faults.append(Finding(f"speaks of what it was given: {clause.strip()!r}", begin, stop))
    n = len(judged.thoughts)
    return RuleScore(0.0, n, "leaked gold", tuple(faults)) if faults else RuleScore(1.0, n)


def _leaks(plain: str, unasked: str, is_early: bool) -> Iterator[tuple[int, int]]:
    """The first clause that leaks of each sentence."""

    def signs(among: tuple[LeakSign, ...] | list[LeakSign], start: int, end: int) -> list[LeakSign]:
        texts = (unasked[start:end], plain[start:end])
        return [sign for sign in among if sign.pattern.search(texts[sign.any_words])]

    for sentence in SENTENCE.finditer(plain):
        present = signs(SIGNS, *sentence.span())
        if sum(max(0, sign.points(is_early)) for sign in present) < LEAKS_FROM:
            continue
        wide = sum(sign.points(is_early) for sign in present if sign.wide)
        near = [sign for sign in present if not sign.wide]
        for start, end in _clauses(plain, *sentence.span()):
            if wide + sum(sign.points(is_early) for sign in signs(near, start, end)) >= LEAKS_FROM:
                yield start, end
                break


def _clauses(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The clauses of a sentence, neighbours by two, and all of it."""
    cuts = [start, *(joint.start() for joint in JOINT.finditer(text, start + 1, end)), end]
    yield from pairwise(cuts)
    yield from zip(cuts, cuts[2:], strict=False)
    yield start, end


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


def _rivals(judged: RuleInput) -> re.Pattern[str] | None:
    """What names another option than the answer's."""
    answers = {choice(text, judged.options) for text in (judged.gold, judged.answers[0].text)}
    named = _stems(" ".join((judged.question, *(judged.options[nth] for nth in answers if nth is not None))))
    texts = [text for nth, option in enumerate(judged.options) if nth not in answers for text in _texts(option, named)]
    return re.compile(rf"(?<!\w)(?<!\w')(?:{'|'.join(texts)})(?!\w)", re.IGNORECASE) if texts else None


def _answer(judged: RuleInput) -> re.Pattern[str] | None:
    """What names the answer, gold or written: its letter, its text, the words of a short one."""
    question_text = " ".join((judged.question, *judged.options))
    letters: list[str] = []
    texts: list[str] = []
    for text in (judged.gold, judged.answers[0].text):
        nth = choice(text, judged.options)
        if nth is not None:
            letters += _letters(nth, question_text)
            text = judged.options[nth]
        others = " ".join((judged.question, *(option for option in judged.options if option != text)))
        texts += _texts(text, _stems(others)) if judged.kind != "grounding" else []
    if not letters and not texts:
        return None
    letter, named = words(" | ".join(letters or ["(?!)"])), words(" | ".join(texts or ["(?!)"]))
    return re.compile(rf"(?<!\w)(?<!\w')(?:(?P<letter>{letter})|{named})(?!\w)", re.IGNORECASE)


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


def _bounds(judged: RuleInput) -> frozenset[float]:
    """In seconds, of the windows where the answer shows and of the answer itself."""
    spans = (read_span(text.strip()) for text in (judged.gold, judged.answers[0].text))
    windows = ((window.start_cs, window.end_cs) for window in judged.windows)
    return frozenset(time_cs / 100 for span in (*spans, *windows) if span for time_cs in span)


def _stems(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in WORD.findall(text) if word.casefold() not in SMALL)


def _stem(word: str) -> str:
    word = word.casefold()
    return IRREGULAR.get(word, word.removesuffix("s")[:5])
