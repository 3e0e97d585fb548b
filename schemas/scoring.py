"""How an answer, a window and a density are scored, in one place: filters, rewards and evaluation must agree."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Literal

from dmforge.schemas.assignment import best_assignment
from dmforge.schemas.looks import Look, Window, read_span
from dmforge.schemas.options import read_options
from dmforge.schemas.records import Task, TaskKind

MAX_ANSWER_CHARS = 2_000
"""Longer texts are compared as they are: NFKC takes quadratic time on long runs of combining marks (20,000 take .3 s)."""

_FLAGS = re.IGNORECASE | re.DOTALL
_LEAD = re.compile(r"((the|my)\s+)?((final|correct|best)\s+)?(answer|option|choice)(\s+is\b\s*:?|\s*:)\s*", _FLAGS)
_LETTER = re.compile(r"(?:(?:option|choice)\s+)?(?:\(([a-z])\)|\[([a-z])\]|([a-z]))[.):]?", _FLAGS)
_LETTER_AND_TEXT = re.compile(r"(?:\(([a-z])\)\s*[.:]?|\[([a-z])\]\s*[.:]?|([a-z])[.):])\s*(\S.*)", _FLAGS)
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3}){1,5}|[0-9]{1,18})(?:\.[0-9]{1,18})?")
_TEENS = (
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", *_TEENS)
_WRAPPING = " \t\r\n*`\"'"
_ARTICLES = frozenset({"a", "an", "the"})


def answer_score(answer: str, task: Task) -> float:
    """How right an answer to a task is, from 0 to 1: right or not, and for grounding the overlap of its span with gold."""
    if task.task_kind != "grounding":
        return float(matches(answer, task.answer, answer_options(task.task_kind, task.question, task.options, task.answer)))
    span_cs = read_span(answer.strip())
    if span_cs is None or span_cs[0] >= span_cs[1]:
        return 0.0
    return float(window_score((Window(*span_cs),), task.windows, task.needs))


def answer_options(kind: TaskKind, question: str, options: tuple[str, ...], gold: str) -> tuple[str, ...]:
    """The options that answers are compared with: the task's; of an open question those in its text, if gold is one of them."""
    if options or kind != "open":
        return options
    options_in_question = read_options(question).options
    return () if choice(gold, options_in_question) is None else options_in_question


def matches(answer: str, gold: str, options: tuple[str, ...] = ()) -> bool:
    """Whether two answers say the same: with options, whether they name the same one, by letter or by its text.

    Two options with the same text are one. Without options (or where gold names none) numbers are compared as numbers, and
    other texts in their normal form. An empty answer matches nothing.
    """
    if not answer.strip() or not gold.strip():
        return False
    gold_index = choice(gold, options)
    if gold_index is None:
        return _says_the_same(answer, gold)
    chosen_index = choice(answer, options)
    return chosen_index is not None and (
        chosen_index == gold_index or _says_the_same(options[chosen_index], options[gold_index])
    )


def choice(text: str, options: tuple[str, ...]) -> int | None:
    """The option that a text names: `B`, `(b)`, `B.`, `B) its text`, `Answer: B`, `its text`; None if none or two of them.

    Options stand here without their letters.
    """
    text = without_lead(text)
    letter_match = _LETTER.fullmatch(text)
    if letter_match is not None:
        option_index = _index_of_letter(letter_match)
        if option_index < len(options):
            return option_index
    # an option may itself begin like a letter with text ("A. Lincoln"), so whole texts come first
    named_index = _index_of_text(text, options)
    if named_index is not None:
        return named_index
    lettered_match = _LETTER_AND_TEXT.fullmatch(text)
    if lettered_match is None or _index_of_letter(lettered_match) >= len(options):
        return None
    option_index, named_index = _index_of_letter(lettered_match), _index_of_text(lettered_match.group(4), options)
    text_contradicts_letter = named_index is not None and not _says_the_same(options[named_index], options[option_index])
    return None if text_contradicts_letter else option_index


def number(text: str) -> Fraction | None:
    """The number that a text is, as a whole: `3`, `3.0`, `1,000`, `-2.5`, `three` (up to twenty); else None."""
    text = text.strip().rstrip(".").casefold()
    if _NUMBER.fullmatch(text):
        return Fraction(text.replace(",", ""))
    return Fraction(_WORDS.index(text)) if text in _WORDS else None


def normalised(text: str) -> str:
    """A text in normal form: NFKC, casefold, no punctuation, no articles, single blanks; articles alone are kept."""
    if len(text) > MAX_ANSWER_CHARS:
        return text.strip()
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = "".join(map(_letter_or_blank, text)).split()
    return " ".join([text_word for text_word in words if text_word not in _ARTICLES] or words or text.split())


def measure_cs(windows: tuple[Window, ...]) -> int:
    """The length of the union of some windows."""
    total_cs = reached_cs = 0
    for window in sorted(windows, key=lambda window: window.start_cs):
        total_cs += max(0, window.end_cs - max(window.start_cs, reached_cs))
        reached_cs = max(reached_cs, window.end_cs)
    return total_cs


def overlap_cs(windows: tuple[Window, ...], gold: tuple[Window, ...]) -> int:
    """The length of the intersection of two unions of windows: coverage and IoP are this over a measure."""
    return measure_cs(windows) + measure_cs(gold) - measure_cs(windows + gold)


def iou(windows: tuple[Window, ...], gold: tuple[Window, ...]) -> Fraction:
    """Intersection over union of two sets of windows; 0 where both are empty."""
    union = measure_cs(windows + gold)
    return Fraction(overlap_cs(windows, gold), union) if union else Fraction(0)


def window_score(windows: tuple[Window, ...], gold: tuple[Window, ...], needs: Literal["any", "all"]) -> Fraction:
    """IoU against gold: with the best single gold window if any of them will do, with their union if all are needed."""
    if needs == "all":
        return iou(windows, gold)
    return max((iou(windows, (window,)) for window in gold), default=Fraction(0))


def density_error(fps: Fraction, target_fps: Fraction) -> Fraction:
    """How far a density is from its target, in frames per second."""
    return abs(fps - target_fps)


def density_nearness(fps: Fraction, target_fps: Fraction, largest_fps: Fraction) -> Fraction:
    """1 less the error as a share of the largest density; never below 0."""
    return max(Fraction(0), 1 - density_error(fps, target_fps) / largest_fps)


def set_score(windows: Sequence[Window], target: Sequence[Window]) -> Fraction:
    """How well windows meet those of a target: the mean IoU of the best matching, with 0 for each that stays alone.

    1 only for the same windows, each as often; of one window and one, their IoU.
    """
    values = [[(iou((window,), (target_window,)), Fraction(0)) for target_window in target] for window in windows]
    total_iou = sum((values[index][target_index][0] for index, target_index in best_assignment(values)), Fraction(0))
    return mean_of_larger(total_iou, windows, target)


def match_looks(
    looks: Sequence[Look], target: Sequence[Look], density_score: Callable[[Fraction, Fraction], Fraction]
) -> tuple[tuple[Look, Look], ...]:
    """Looks with those of a target that they stand for, as many as the smaller side has.

    They are matched by the greatest sum of their windows' IoU; among equals by that of their density scores, so that the sum of
    these doesn't depend on the order in which anybody looked.
    """
    values = [
        [(iou((look.window,), (target_look.window,)), density_score(look.fps, target_look.fps)) for target_look in target]
        for look in looks
    ]
    return tuple((looks[index], target[target_index]) for index, target_index in best_assignment(values))


def mean_of_larger(total: Fraction, looks: Sequence[object], target: Sequence[object]) -> Fraction:
    """The mean of what pairs add up to: over all looks where there are more of them, over the target's where it has more.

    So a look too few and a look too many both cost their share, and another try at a place that is still missing costs nothing.
    """
    return total / max(len(looks), len(target), 1)


def _says_the_same(answer: str, gold_text: str) -> bool:
    answer, gold_text = without_lead(answer), without_lead(gold_text)
    numbers_or_none = number(answer), number(gold_text)
    if None not in numbers_or_none:
        return numbers_or_none[0] == numbers_or_none[1]
    return normalised(answer) == normalised(gold_text)


def _index_of_text(text: str, options: tuple[str, ...]) -> int | None:
    """The first option with this text, if any."""
    return next((option_index for option_index, option in enumerate(options) if _says_the_same(text, option)), None)


def _index_of_letter(letter_match: re.Match[str]) -> int:
    return ord(next(filter(None, letter_match.groups()[:3])).lower()) - ord("a")


def without_lead(text: str) -> str:
    """A text without a leading `Answer:`, `The answer is`, `**` and the like, unless there is nothing else."""
    unwrapped_text = text.strip(_WRAPPING)
    lead_match = _LEAD.match(unwrapped_text)
    return (unwrapped_text[lead_match.end() :].strip(_WRAPPING) if lead_match else "") or unwrapped_text or text


def _letter_or_blank(char: str) -> str:
    if char in "'\u2019":  # "don't" is one word
        return ""
    return " " if unicodedata.category(char).startswith("P") else char
