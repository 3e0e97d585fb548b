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
"""The most characters of a question."""
OPTIONS = range(2, 7)
"""How many options a question may have."""
ALTERNATIVES = ("order", "comparison")
"""Questions of these types name what is to be chosen from: `..., the cup or the book?`"""
NAMES_TIME = re.compile(
    r"\d+(?:[.:]\d+)?\s*(?:-\s*\d+(?:[.:]\d+)?\s*)?(?:s|secs?|seconds?|mins?|minutes?|h|hours?)\b|\b\d{1,2}:\d\d\b|<[^>]*>|\btimestamps?\b",
    re.IGNORECASE,
)


def fault(draft: Written, windows: tuple[Window, ...], is_requested: bool, previous_questions: Sequence[str]) -> str:
    """The first fault of a draft, empty where nothing is wrong. `windows` are those of its windows that lie inside the video,
    `previous_questions` the questions about it so far."""
    if not is_requested:
        return "not asked for"
    if not draft.question.strip() or len(draft.question) > MAX_CHARS:
        return "no question"
    if not draft.answer.strip():
        return "no answer"
    if max(map(len, (draft.answer, *draft.options))) > MAX_OPTION_CHARS:
        return "its answer or an option is too long"
    if len(windows) != len(draft.windows) or not windows:
        return "its window is not in the video"
    if not _has_sound_options(draft):
        return "its options don't fit its form"
    if NAMES_TIME.search(draft.question):
        return "names a time"
    if _gives_answer_away(draft):
        return "gives its answer away"
    if any(is_near(draft.question, previous_question) for previous_question in previous_questions):
        return "near another question of the video"
    return ""


def _has_sound_options(draft: Written) -> bool:
    """Whether a draft has options only where one is to be chosen: different ones, and the answer among them."""
    if draft.form != "mcq":
        return not draft.options
    distinct_options = {normalised(option) for option in draft.options}
    if len(draft.options) not in OPTIONS or len(distinct_options) != len(draft.options) or "" in distinct_options:
        return False
    return choice(draft.answer, draft.options) is not None


def _gives_answer_away(draft: Written) -> bool:
    """Whether the answer stands in the question, word for word."""
    if draft.form == "grounded":
        return False  # a span is a time
    if draft.type in ALTERNATIVES and " or " in draft.question:
        return False
    answer = normalised(draft.answer)
    if number(draft.answer) is not None and len(answer) < 3:
        return False  # `2` may well stand in `the 2 men`
    return f" {answer} " in f" {normalised(draft.question)} "
