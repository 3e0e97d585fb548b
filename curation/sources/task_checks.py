"""Checks between a file's question and a task: what can be is mended, with a flag, else it is rejected with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.schemas.looks import MAX_CS, Window, print_span
from dmforge.schemas.records import Needs, TaskKind
from dmforge.schemas.scoring import choice
from dmforge.schemas.text_limits import (
    MAX_EXTRAS_CHARS,
    MAX_GOLD_CHARS,
    MAX_NAME_CHARS,
    MAX_OPTION_CHARS,
    MAX_QUESTION_CHARS,
    MAX_REPLY_CHARS,
)

TOLERANCE_CS = 100
"""How far a window may begin before its video, or end after it: annotators' clocks differ by less than that."""
MAX_OPTIONS = 26
OUTSIDE, BACKWARDS = "window outside the video", "window ends before it begins"
"""Why a question is refused for its window."""


@dataclass(frozen=True, slots=True)
class CheckedTask:
    """A question that was checked: the content of a task."""

    kind: TaskKind
    question: str
    options: tuple[str, ...]
    answer: str
    windows: tuple[Window, ...]
    needs: Needs
    flags: tuple[str, ...]

    def content(self) -> list[object]:
        """What two questions have in common that are one: for comparing them."""
        window_bounds_cs = [[window.start_cs, window.end_cs] for window in self.windows]
        return [self.kind, self.question, list(self.options), self.answer, window_bounds_cs, self.needs]


def check(question: Question, duration_cs: int | None = None) -> CheckedTask | RefusedQuestion:
    """Check a question against the rules and the length of its video (of the file itself, else by the annotation)."""
    first_fault = fault_of_length(question)
    if first_fault:
        return RefusedQuestion(question.video[:MAX_NAME_CHARS], first_fault)
    flags_in_order = dict.fromkeys(question.flags)
    question_text, option_texts, answer_text = _stripped(question, flags_in_order)
    if not question_text:
        return RefusedQuestion(question.video, "no question")
    if duration_cs is None and question.duration_s is not None:
        duration_cs = round(question.duration_s * 100)
    windows_or_refusal = _windows(question, duration_cs, flags_in_order)
    if isinstance(windows_or_refusal, RefusedQuestion):
        return windows_or_refusal
    if "mcq" in question.kind:
        first_fault = _fault_of_options(answer_text, option_texts)
        if first_fault:
            return RefusedQuestion(question.video, first_fault)
    if question.kind == "grounding":
        if not windows_or_refusal:
            return RefusedQuestion(question.video, "no window")
        answer_text = ", ".join(map(print_span, windows_or_refusal))
    if not answer_text:
        return RefusedQuestion(question.video, "no answer")
    return CheckedTask(
        question.kind, question_text, option_texts, answer_text, windows_or_refusal, question.needs, tuple(flags_in_order)
    )


def fault_of_length(question: Question) -> str:
    """A message about the first text of a question that is too long; empty where none is."""
    for text_name, text_length, max_length in _lengths(question):
        if text_length > max_length:
            return f"{text_name} longer than {max_length:,} characters: shorten it"
    return ""


def _lengths(question: Question) -> Iterator[tuple[str, int, int]]:
    yield "video name", len(question.video), MAX_NAME_CHARS
    yield "question", len(question.question), MAX_QUESTION_CHARS
    yield "answer", len(question.answer), MAX_GOLD_CHARS
    yield "option", max(map(len, question.options), default=0), MAX_OPTION_CHARS
    yield "trajectory", len(question.reply), MAX_REPLY_CHARS
    yield "extras", len(json.dumps(question.extras)) if question.extras else 0, MAX_EXTRAS_CHARS


def _stripped(question: Question, flags_in_order: dict[str, None]) -> tuple[str, tuple[str, ...], str]:
    question_text = " ".join(question.question.split()) if question.kind == "grounding" else question.question.strip()
    option_texts, answer_text = tuple(option.strip() for option in question.options), question.answer.strip()
    if (question_text, option_texts, answer_text) != (question.question, question.options, question.answer):
        flags_in_order["stripped"] = None
    return question_text, option_texts, answer_text


def _windows(
    question: Question, duration_cs: int | None, flags_in_order: dict[str, None]
) -> tuple[Window, ...] | RefusedQuestion:
    task_windows: list[Window] = []
    tolerance_cs = max(TOLERANCE_CS, round(question.segment_s * 100))  # a last segment ends with its video
    for start_s, end_s in question.windows:
        if not (abs(start_s) < MAX_CS and abs(end_s) < MAX_CS):  # NaN, too
            return RefusedQuestion(question.video, OUTSIDE)
        start_cs, end_cs = round(start_s * 100), round(end_s * 100)
        if start_cs >= end_cs:
            return RefusedQuestion(question.video, BACKWARDS)
        max_end_cs = MAX_CS if duration_cs is None else duration_cs
        if end_cs <= 0 or start_cs >= max_end_cs or start_cs < -TOLERANCE_CS or end_cs > max_end_cs + tolerance_cs:
            return RefusedQuestion(question.video, OUTSIDE)
        if start_cs < 0:
            start_cs = 0
            flags_in_order["clamped start"] = None
        if end_cs > max_end_cs:
            end_cs = max_end_cs
            flags_in_order["clamped end"] = None
        task_windows.append(Window(start_cs, end_cs))
    sorted_windows = sorted(task_windows, key=lambda window: (window.start_cs, window.end_cs))
    if sorted_windows != task_windows:
        flags_in_order["sorted"] = None
    return tuple(dict.fromkeys(sorted_windows))


def _fault_of_options(answer: str, option_texts: Sequence[str]) -> str:
    if len(option_texts) > MAX_OPTIONS:
        return f"more than {MAX_OPTIONS} options"
    answer_index = choice(answer, tuple(option_texts))
    if answer_index is None:
        # two options with the same text are named by none of them
        return "two options are the right one" if list(option_texts).count(answer) > 1 else "answer not among the options"
    return "two options are the right one" if list(option_texts).count(option_texts[answer_index]) > 1 else ""


def right_option(question: Question, option_index: int) -> Question:
    """A question whose answer is given by the number of its option."""
    is_valid = 0 <= option_index < len(question.options)
    return replace(question, answer=question.options[option_index] if is_valid else "")
