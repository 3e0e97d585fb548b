"""Functions for answers as sets of the field write them: letters, texts, numbers, windows in several notations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from dmforge.curation.sources.annotation_format import Question, seconds
from dmforge.curation.sources.formats.conversations import canonical_windows, tagged_answer, untagged, with_options
from dmforge.curation.sources.formats.dynframe import QUERY
from dmforge.schemas.options import Choices, read_options, without_letters
from dmforge.schemas.records import TaskKind

Windows = tuple[tuple[float, float], ...]
_TIME = r"(?:<t>)?\s*(\d+(?:\.\d+)?)\s*(?:</t>)?\s*(?:s|seconds)?"
FROM_TO = re.compile(rf"\s*From\s+{_TIME}\s+to\s+{_TIME}\s*?(?:[,.;:\n]\s*|$)", re.IGNORECASE)
"""`From 3.5 to 9, ...` and `From <t>3.5</t>s to <t>9</t>s`: what stands behind it is the answer in words."""
MAX_WINDOWS_TEXT = 10_000
KINDS: tuple[TaskKind, ...] = get_args(TaskKind)


def known_kind(value: object) -> TaskKind | None:
    """The kind of a task that a row of our own exports names; None where it names none."""
    for kind in KINDS:
        if value == kind:
            return kind
    return None


def windows_of(value: object) -> Windows:
    """Windows as lists: one pair, or a list of pairs; none where it is something else."""
    if not isinstance(value, list | tuple) or not value:
        return ()
    pairs = [value] if all(_is_number(bound) for bound in value) else list(value)
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_number, pair)) for pair in pairs):
        return ()
    return tuple(map(seconds, pairs))


def windows_in_json(text: str, *keys: str) -> Windows:
    """Windows in an answer that is JSON: lists, or an object with them under one of these keys; none where it is no JSON."""
    try:
        value: Any = json.loads(text) if len(text) <= MAX_WINDOWS_TEXT else None
    except (ValueError, RecursionError):
        return ()
    if isinstance(value, dict):
        value = next((value[key] for key in keys if key in value), None)
    return windows_of(value)


def windows_and_words(text: str) -> tuple[Windows, str]:
    """The window that an answer begins with, `From 3.5 to 9, he waves`, and the words behind it; the words alone else."""
    window_match = FROM_TO.match(text)
    if window_match is None:
        return (), text
    return ((float(window_match[1]), float(window_match[2])),), text[window_match.end() :].strip()


def answered(
    video: str, text: str, gold: object, *, options: Sequence[str] | None = None, windows: Windows = (),
    duration_s: float | None = None, kind: TaskKind | None = None,
) -> Question:  # fmt: skip
    """A question with its right answer, as rewards are given it: a letter, words, a number, or the windows that are asked for.

    Its options stand in a list of their own or in its text; its kind is what the answer says where the row doesn't."""
    question_text, answer = untagged(text).strip(), answer_text(gold)
    gold_windows = windows_of(gold) or canonical_windows(answer)
    if kind == "grounding" or (gold_windows and not options and kind is None):
        query_match = QUERY.search(question_text)
        asked_text = query_match[1] if query_match else question_text
        return Question(video, "grounding", asked_text, windows=gold_windows or windows, duration_s=duration_s)
    question = Question(video, "open", question_text, answer, windows=windows, duration_s=duration_s)
    if not options:
        return question if kind == "open" else with_options(question)
    listed_options, choices = without_letters(list(options)), read_options(question_text)
    question_and_options = choices if choices.options == listed_options else Choices(question_text, listed_options)
    return replace(
        question, kind=kind or ("grounded_mcq" if windows else "mcq"), question=question_and_options.question,
        options=question_and_options.options,
    )  # fmt: skip


def answer_text(gold: object) -> str:
    """An answer as a text: without its tags; a number as it is printed, what is neither as JSON."""
    if isinstance(gold, str):
        return tagged_answer(gold) or gold.strip()
    return "" if gold is None else json.dumps(gold)


def target_fps(question: Question, target: Mapping[str, Any]) -> float | None:
    """The density of our own target, where its looks are windows of the task: a task has one density for all of them."""
    densities: list[float] = target.get("target_fps") or []
    are_windows = set(question.windows).issuperset(windows_of(target.get("target_windows")))
    return densities[0] if are_windows and len(set(densities)) == 1 else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
