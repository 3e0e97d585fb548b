"""From what a file says to a task: mended where it can be, with a flag that says so, else rejected with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dmforge.curation.sources.contract import Question, Refused
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
"""So far a window may begin before its video, or go on after it: annotators' clocks differ by less than that."""
MAX_OPTIONS = 26


@dataclass(frozen=True, slots=True)
class Checked:
    """The content of a task."""

    kind: TaskKind
    question: str
    options: tuple[str, ...]
    answer: str
    windows: tuple[Window, ...]
    needs: Needs
    flags: tuple[str, ...]

    def content(self) -> list[object]:
        """What two questions share that are one."""
        windows = [[window.start_cs, window.end_cs] for window in self.windows]
        return [self.kind, self.question, list(self.options), self.answer, windows, self.needs]


def check(asked: Question, duration_cs: int | None = None) -> Checked | Refused:
    """A question, held against the rules and the length of its video (by the file itself, else by the annotation)."""
    fault = fault_of_length(asked)
    if fault:
        return Refused(asked.video[:MAX_NAME_CHARS], fault)
    flags = dict.fromkeys(asked.flags)
    question, options, answer = _stripped(asked, flags)
    if not question:
        return Refused(asked.video, "no question")
    if duration_cs is None and asked.duration_s is not None:
        duration_cs = round(asked.duration_s * 100)
    windows = _windows(asked, duration_cs, flags)
    if isinstance(windows, Refused):
        return windows
    if "mcq" in asked.kind:
        fault = _fault_of_options(answer, options)
        if fault:
            return Refused(asked.video, fault)
    if asked.kind == "grounding":
        if not windows:
            return Refused(asked.video, "no window")
        answer = ", ".join(map(print_span, windows))
    if not answer:
        return Refused(asked.video, "no answer")
    return Checked(asked.kind, question, options, answer, windows, asked.needs, tuple(flags))


def fault_of_length(asked: Question) -> str:
    """The first text of a question that is longer than its kind may be; empty where none is."""
    for name, length, longest in _lengths(asked):
        if length > longest:
            return f"{name} longer than {longest:,} characters: shorten it"
    return ""


def _lengths(asked: Question) -> Iterator[tuple[str, int, int]]:
    yield "video name", len(asked.video), MAX_NAME_CHARS
    yield "question", len(asked.question), MAX_QUESTION_CHARS
    yield "answer", len(asked.answer), MAX_GOLD_CHARS
    yield "option", max(map(len, asked.options), default=0), MAX_OPTION_CHARS
    yield "trajectory", len(asked.reply), MAX_REPLY_CHARS
    yield "extras", len(json.dumps(asked.extras)) if asked.extras else 0, MAX_EXTRAS_CHARS


def _stripped(asked: Question, flags: dict[str, None]) -> tuple[str, tuple[str, ...], str]:
    question = " ".join(asked.question.split()) if asked.kind == "grounding" else asked.question.strip()
    options, answer = tuple(option.strip() for option in asked.options), asked.answer.strip()
    if (question, options, answer) != (asked.question, asked.options, asked.answer):
        flags["stripped"] = None
    return question, options, answer


def _windows(asked: Question, duration_cs: int | None, flags: dict[str, None]) -> tuple[Window, ...] | Refused:
    found: list[Window] = []
    for start_s, end_s in asked.windows:
        if not (abs(start_s) < MAX_CS and abs(end_s) < MAX_CS):  # not a number, too
            return Refused(asked.video, "window outside the video")
        start, end = round(start_s * 100), round(end_s * 100)
        if start >= end:
            return Refused(asked.video, "window ends before it begins")
        longest = MAX_CS if duration_cs is None else duration_cs
        if end <= 0 or start >= longest or start < -TOLERANCE_CS or end > longest + TOLERANCE_CS:
            return Refused(asked.video, "window outside the video")
        if start < 0:
            start = 0
            flags["clamped start"] = None
        if end > longest:
            end = longest
            flags["clamped end"] = None
        found.append(Window(start, end))
    ordered = sorted(found, key=lambda window: (window.start_cs, window.end_cs))
    if ordered != found:
        flags["sorted"] = None
    return tuple(dict.fromkeys(ordered))


def _fault_of_options(answer: str, options: Sequence[str]) -> str:
    if len(options) > MAX_OPTIONS:
        return f"more than {MAX_OPTIONS} options"
    right = choice(answer, tuple(options))
    if right is None:
        # two options with the same text are named by none of them
        return "two options are the right one" if list(options).count(answer) > 1 else "answer not among the options"
    return "two options are the right one" if list(options).count(options[right]) > 1 else ""


def right_option(asked: Question, index: int) -> Question:
    """A question whose answer is given by the number of its option."""
    inside = 0 <= index < len(asked.options)
    return replace(asked, answer=asked.options[index] if inside else "")
