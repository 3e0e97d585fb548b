"""What is wrong with a question that a teacher wrote, as far as text can tell: the first fault, in words that don't vary."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dmforge.schemas.likeness import is_near
from dmforge.schemas.looks import Window
from dmforge.schemas.replies import Written
from dmforge.schemas.scoring import choice, normalised, number
from dmforge.schemas.text_limits import MAX_OPTION_CHARS

MAX_CHARS = 400
"""Longer questions are none."""
OPTIONS = range(2, 7)
"""So many options may be given."""
ALTERNATIVES = ("order", "comparison")
"""Questions of these types name what is to be chosen from: `..., the cup or the book?`"""
NAMES_TIME = re.compile(
    r"\d+(?:[.:]\d+)?\s*(?:-\s*\d+(?:[.:]\d+)?\s*)?(?:s|secs?|seconds?|mins?|minutes?|h|hours?)\b|\b\d{1,2}:\d\d\b|<[^>]*>|\btimestamps?\b",
    re.IGNORECASE,
)


def fault(written: Written, windows: tuple[Window, ...], wanted: bool, others: Sequence[str]) -> str:
    """Empty where nothing is wrong. `windows` are those that lie inside the video; `others` are questions about it so far."""
    if not wanted:
        return "not asked for"
    if not written.question.strip() or len(written.question) > MAX_CHARS:
        return "no question"
    if not written.answer.strip():
        return "no answer"
    if max(map(len, (written.answer, *written.options))) > MAX_OPTION_CHARS:
        return "its answer or an option is too long"
    if len(windows) != len(written.windows) or not windows:
        return "its window is not in the video"
    if not _form_is_sound(written):
        return "its options don't fit its form"
    if NAMES_TIME.search(written.question):
        return "names a time"
    if _gives_away(written):
        return "gives its answer away"
    if any(is_near(written.question, other) for other in others):
        return "near another question of the video"
    return ""


def _form_is_sound(written: Written) -> bool:
    """Options only where one is to be chosen: different ones, and the answer among them."""
    if written.form != "mcq":
        return not written.options
    different = {normalised(option) for option in written.options}
    if len(written.options) not in OPTIONS or len(different) != len(written.options) or "" in different:
        return False
    return choice(written.answer, written.options) is not None


def _gives_away(written: Written) -> bool:
    """Whether the answer stands in the question, word for word."""
    if written.form == "grounded":
        return False  # a span is a time
    if written.type in ALTERNATIVES and " or " in written.question:
        return False
    answer = normalised(written.answer)
    if number(written.answer) is not None and len(answer) < 3:
        return False  # `2` may well stand in `the 2 men`
    return f" {answer} " in f" {normalised(written.question)} "
