"""The checks of one row: whether it is a task, by the rules of `lint`, and whether its question gives its answer away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.curation.sources.annotation_reader import MALFORMED
from dmforge.curation.sources.task_checks import BACKWARDS, OUTSIDE, CheckedTask, check
from dmforge.filters.inspection.set_checks import Group
from dmforge.filters.inspection.set_rows import SetRow
from dmforge.filters.rules.audio_claims import audible
from dmforge.filters.rules.cited_times import cited_times
from dmforge.filters.rules.lint import record_defects
from dmforge.filters.rules.rule import TextSpan
from dmforge.schemas.scoring import answer_options, choice, normalised, number

MIN_GIVEN_LETTERS = 4
"""Letters of an answer that a question can give away: shorter ones stand in it by chance."""
SAY_REASON_FIRST = frozenset({"grammar", "answer_form"})
"""Rules whose messages begin with one of a few reasons and a colon."""
READ_ERRORS = frozenset({"not JSON", "not UTF-8", "not Parquet", "not CSV", MALFORMED})
"""How reasons begin that go on with the place or the field."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """What a check found in a row."""

    check: str
    reason: str
    """One of a few, or empty where a check has only one."""
    fault: str


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """What the checks of a row came to."""

    groups: tuple[Group, ...]
    """Of which kinds it is, beside being a row."""
    faults: tuple[RowFault, ...]
    task: CheckedTask | None
    """The task that it is, if it can be one."""
    options: tuple[str, ...] = ()
    """The options that its answer is compared with, also those that stand in an open question."""


def check_row(row: SetRow, duration_cs: int | None) -> CheckedRow:
    """Check a row. The length of its video is that of the file, where it is known."""
    question = row.question
    if isinstance(question, RefusedQuestion):
        return CheckedRow((), (RowFault("unreadable", _head(question.reason), _joined(question.video, question.reason)),), None)
    task_or_refusal = check(question, duration_cs)
    task = None if isinstance(task_or_refusal, RefusedQuestion) else task_or_refusal
    options = answer_options(task.kind, task.question, task.options, task.answer) if task else ()
    faults = [
        *_task_faults(question, task_or_refusal),
        *_text_faults(row, question, task, duration_cs),
        *(_leak_faults(task, options) if task else ()),
    ]
    return CheckedRow(tuple(_groups(row, question, task, options)), tuple(faults), task, options)


def _groups(row: SetRow, question: Question, task: CheckedTask | None, options: tuple[str, ...]) -> Iterator[Group]:
    yield "questions"
    if question.windows:
        yield "windows"
    if row.written is not None:
        yield "looks"
        if row.written.text:
            yield "trajectories"
    if task is not None and choice(task.answer, options) is not None:
        yield "choices"


def _task_faults(question: Question, task: CheckedTask | RefusedQuestion) -> Iterator[RowFault]:
    windows = ", ".join(f"{start_s:g} - {end_s:g}" for start_s, end_s in question.windows[:3])
    fault = _joined(question.video, windows, question.question)
    if isinstance(task, RefusedQuestion):
        check_name = "window_outside" if task.reason in (OUTSIDE, BACKWARDS) else "invalid"
        yield RowFault(check_name, task.reason, _joined(task.reason, fault))
    elif task.flags:
        mends = ", ".join(task.flags)
        yield RowFault("mended", mends, _joined(mends, fault))


def _text_faults(row: SetRow, question: Question, task: CheckedTask | None, duration_cs: int | None) -> Iterator[RowFault]:
    """The rules of `lint` over a trajectory, or a task with a target, with all that the set says of it."""
    if row.written is None:
        for sound_finding in audible(question.question).faults:
            yield RowFault("silent", "", _joined(sound_finding.message, question.question))
        return
    if duration_cs is None and question.duration_s is not None:
        duration_cs = max(0, round(question.duration_s * 100))
    record = replace(row.written, gold=question.answer, duration_cs=duration_cs)
    if task is not None:
        record = replace(
            record, kind=task.kind, question=task.question, options=task.options, gold=task.answer, windows=task.windows,
            needs=task.needs,
        )  # fmt: skip
    for defect in record_defects(record):
        reason = defect.message.partition(":")[0] if defect.rule in SAY_REASON_FIRST else ""
        yield RowFault(defect.rule, reason, _joined(defect.message, defect.excerpt))


def _leak_faults(task: CheckedTask, options: tuple[str, ...]) -> Iterator[RowFault]:
    """How a question gives its answer away."""
    if task.kind == "grounding":
        cited_cs = [(cited_time.time_cs, cited_time.slack_cs) for cited_time in cited_times(TextSpan(task.question, 0))]
        bounds_cs = [bound_cs for window in task.windows for bound_cs in (window.start_cs, window.end_cs)]
        if all(any(abs(bound_cs - time_cs) <= slack_cs for time_cs, slack_cs in cited_cs) for bound_cs in bounds_cs):
            yield RowFault("answer_in_question", "names the window", f"{task.question} -> {task.answer}")
        return
    gold_index = choice(task.answer, options)
    gold_text = task.answer if gold_index is None else options[gold_index]
    other_texts = [option for index, option in enumerate(options) if index != gold_index]
    if options and not task.options:  # they stand in the question
        return
    if _stands_in(gold_text, task.question) and not any(_stands_in(text, task.question, 1) for text in other_texts):
        reason = "names the right option and no other" if options else "names the answer"
        yield RowFault("answer_in_question", reason, f"{task.question} -> {gold_text}")


def _stands_in(text: str, question: str, min_letters: int = MIN_GIVEN_LETTERS) -> bool:
    """Whether an answer stands in a question, word for word."""
    words = normalised(text)
    if sum(map(str.isalpha, words)) < min_letters or number(words) is not None:
        return False
    if question.isascii() and "'" not in question and words.partition(" ")[0] not in question.lower():
        return False  # as nearly always, and at a tenth of the time
    return f" {words} " in f" {normalised(question)} "


def _joined(*texts: str) -> str:
    return ": ".join(filter(None, texts))


def _head(reason: str) -> str:
    """A reason without the particulars that make each one its own."""
    head = reason.partition(":")[0]
    return head if head in READ_ERRORS else reason
