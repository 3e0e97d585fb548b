"""The checks of one row: whether it is a task, by the rules of `lint`, and whether its question gives its answer away."""

from __future__ import annotations

from dataclasses import replace

from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.curation.sources.task_checks import BACKWARDS, OUTSIDE, CheckedTask, check
from dmforge.filters.inspection.set_findings import SetTally
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
READ_ERRORS = frozenset({"not JSON", "not UTF-8", "not Parquet", "not CSV"})
"""How errors begin that go on with the place."""


def check_row(row_number: int, row: SetRow, duration_cs: int | None, tally: SetTally) -> CheckedTask | None:
    """Check a row; the task that it is, if it can be one. The length of its video is that of the file, where that is known."""
    question = row.question
    if isinstance(question, RefusedQuestion):
        tally.add("unreadable", row_number, _head(question.reason), _joined(question.video, question.reason))
        return None
    tally.groups["questions"] += 1
    tally.groups["windows"] += bool(question.windows)
    checked_task = check(question, duration_cs)
    if isinstance(checked_task, RefusedQuestion):
        name = "window_outside" if checked_task.reason in (OUTSIDE, BACKWARDS) else "invalid"
        tally.add(name, row_number, checked_task.reason, _joined(question.video, _quoted(question)))
    elif checked_task.flags:
        tally.add("mended", row_number, ", ".join(checked_task.flags), _joined(question.video, _quoted(question)))
    if row.written is not None:
        _check_written(row_number, row, question, checked_task, duration_cs, tally)
    else:
        for sound_finding in audible(question.question).faults:
            tally.add("silent", row_number, "asks for sound", _joined(sound_finding.message, question.question))
    if isinstance(checked_task, RefusedQuestion):
        return None
    given_away = answer_given_away(checked_task)
    if given_away:
        tally.add("answer_in_question", row_number, given_away, f"{checked_task.question} -> {checked_task.answer}")
    return checked_task


def options_of(task: CheckedTask) -> tuple[str, ...]:
    """The options that an answer is compared with, also those that stand in an open question."""
    return answer_options(task.kind, task.question, task.options, task.answer)


def answer_given_away(task: CheckedTask) -> str:
    """How a question gives its answer away; empty where it doesn't."""
    if task.kind == "grounding":
        cited_cs = [(cited_time.time_cs, cited_time.slack_cs) for cited_time in cited_times(TextSpan(task.question, 0))]
        is_cited = all(
            any(abs(bound_cs - time_cs) <= slack_cs for time_cs, slack_cs in cited_cs)
            for window in task.windows
            for bound_cs in (window.start_cs, window.end_cs)
        )
        return "names the window" if cited_cs and is_cited else ""
    options = options_of(task)
    gold_index = choice(task.answer, options)
    gold_text = task.answer if gold_index is None else options[gold_index]
    other_texts = [option for index, option in enumerate(options) if index != gold_index]
    stem = task.question if task.options or not options else ""  # else the options stand in it
    if not _stands_in(gold_text, stem) or any(_stands_in(other_text, stem, 1) for other_text in other_texts):
        return ""
    return "names the right option and no other" if options else "names the answer"


def _check_written(
    row_number: int, row: SetRow, question: Question, checked_task: CheckedTask | RefusedQuestion, duration_cs: int | None,
    tally: SetTally,
) -> None:  # fmt: skip
    """The rules of `lint` over a trajectory, or a task with a target, with all that the set says of it."""
    assert row.written is not None
    if duration_cs is None and question.duration_s is not None:
        duration_cs = max(0, round(question.duration_s * 100))
    record = replace(row.written, gold=question.answer, duration_cs=duration_cs)
    if isinstance(checked_task, CheckedTask):
        record = replace(
            record, kind=checked_task.kind, question=checked_task.question, options=checked_task.options,
            gold=checked_task.answer, windows=checked_task.windows, needs=checked_task.needs,
        )  # fmt: skip
    tally.groups["looks"] += 1
    tally.groups["trajectories"] += bool(record.text)
    for defect in record_defects(record):
        reason = defect.message.partition(":")[0] if defect.rule in SAY_REASON_FIRST else ""
        tally.add(defect.rule, row_number, reason, _joined(defect.message, defect.excerpt))


def _stands_in(text: str, question: str, min_letters: int = MIN_GIVEN_LETTERS) -> bool:
    """Whether an answer stands in a question, word for word."""
    words = normalised(text)
    if sum(map(str.isalpha, words)) < min_letters or number(words) is not None:
        return False
    return f" {words} " in f" {normalised(question)} "


def _quoted(question: Question) -> str:
    windows = ", ".join(f"{start_s:g} - {end_s:g}" for start_s, end_s in question.windows[:3])
    return _joined(windows, question.question)


def _joined(*texts: str) -> str:
    return ": ".join(filter(None, texts))


def _head(reason: str) -> str:
    """A reason without the particulars that make each one its own."""
    head, _, _ = reason.partition(":")
    return head if head in READ_ERRORS else reason
