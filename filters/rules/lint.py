"""The rules of `rules` and `citations`, and those of plug-ins, applied to any file of trajectories or tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from dmforge.curation.exports.read_back import WrittenRecord, read_written
from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.filters.rules.audio_claims import audible
from dmforge.filters.rules.citations import CITATIONS
from dmforge.filters.rules.look_use import LOOK_USE
from dmforge.filters.rules.rule import Finding, Rule, RuleInput, RuleScore
from dmforge.filters.rules.rules import RulesConfig, extra_rules, rules_of
from dmforge.filters.rules.shape import answer_form, density, window
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window, read_span
from dmforge.schemas.scoring import answer_options
from dmforge.schemas.tags import CLOSE, OPEN

CONFIG = RulesConfig()
RULES = (*rules_of(CONFIG), *CITATIONS, *LOOK_USE)
NEED_A_LOOK = frozenset({"window", "density", "frames"})
"""Rules that are skipped without a look: the grammar reports that already."""
MIN_FAULTY_SCORE = {"idle_look": 0.01}
"""Of some rules a lower score says nothing: thoughts that cite no time at all don't tell which looks they use."""
MAX_FAULTY_SCORE = {"own_span": 0.0, "repetition": 0.7}
"""Rules that are a matter of degree -> the highest score that is a defect; of all other rules each fault is one."""
MAX_LOOKS = 1_000
"""A file doesn't say how many looks its trajectories may have."""
CONTEXT_CHARS = 48
"""Characters shown on either side of a marked text."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """A fault of one record, with the text around it."""

    record: str
    rule: str
    message: str
    offset: int
    """Where the fault begins, in characters of the record's text; of a task, in its prompt."""
    end: int
    excerpt: str
    """The text around the fault, with the fault itself between \u00bb and \u00ab."""


@dataclass(frozen=True, slots=True)
class LintReport(CommandResult):
    """The defects of a file, and how many records it has."""

    records: int
    defects: tuple[LintFinding, ...]

    def as_json(self) -> dict[str, Any]:
        field_names = ("record", "rule", "message", "offset")
        defects = [{field_name: getattr(defect, field_name) for field_name in field_names} for defect in self.defects]
        return {"records": self.records, "defects": defects}

    def blocks(self) -> Iterator[Block]:
        for defect in self.defects:
            yield f"{defect.record} at {defect.offset}: {defect.rule}: {defect.message}"
            yield f"    {defect.excerpt}"
        yield f"{self.records} records, {len(self.defects)} defects"


def lint(path: Path, plugins: Sequence[str] = ()) -> LintReport:
    """All defects of a file, in the order of its records; by these rules of plug-ins as well."""
    rules = (*RULES, *extra_rules(plugins, "--rule"))
    record_count = 0
    defects: list[LintFinding] = []
    for record in read_written(path):
        record_count += 1
        if record.exchanges > 1:
            judged_text = record.text or record.prompt
            exchange_note = f"{record.exchanges} exchanges; only the last one is judged"
            defects.append(
                _marked(record, "record", judged_text, Finding(exchange_note, 0, len(judged_text)), 0, len(judged_text))
            )
        defects += record_defects(record, rules)
    if not record_count:
        hint = "give shards, or rows of an export, with at least one record"
        raise InputError("no records", where=str(path), hint=hint)
    return LintReport(record_count, tuple(defects))


def record_defects(record: WrittenRecord, rules: Sequence[Rule] = RULES) -> Iterator[LintFinding]:
    """The defects of one record, a trajectory or a task."""
    scored_record = _with_scored_options(record)
    return _trajectory_defects(scored_record, rules) if record.text else _task_defects(scored_record)


def _with_scored_options(record: WrittenRecord) -> WrittenRecord:
    """The same record with the options that its answer is scored against."""
    return replace(record, options=answer_options(record.kind, record.question, record.options, record.gold))


def _trajectory_defects(record: WrittenRecord, rules: Sequence[Rule]) -> Iterator[LintFinding]:
    rule_input = RuleInput(
        record.trajectory, record.kind, record.question, record.options, record.gold, record.windows, record.needs,
        record.duration_cs, clips=record.clips, max_looks=MAX_LOOKS,
    )  # fmt: skip
    parsed = rule_input.parsed
    if isinstance(parsed, Trajectory):
        rule_input = RuleInput(
            record.trajectory, record.kind, record.question, record.options, record.gold, record.windows, record.needs,
            record.duration_cs, parsed.looks, parsed.answer, record.clips, MAX_LOOKS,
        )  # fmt: skip
    for rule in rules:
        rule_score = None if rule.name in NEED_A_LOOK and not rule_input.looks else rule.check(rule_input)
        if rule_score is None or rule_score.score >= 1:
            continue
        if MIN_FAULTY_SCORE.get(rule.name, 0.0) <= rule_score.score <= MAX_FAULTY_SCORE.get(rule.name, 1.0):
            for rule_finding in rule_score.faults:
                yield _marked(
                    record,
                    rule.name,
                    record.text,
                    rule_finding,
                    record.place(rule_finding.start),
                    record.place(rule_finding.end),
                )


def _task_defects(record: WrittenRecord) -> Iterator[LintFinding]:
    """The defects of a task, which has no trajectory: of its question, its answer, and the look that is its target."""
    for rule_name, rule_score in _task_measures(record):
        for rule_finding in rule_score.faults:
            yield _marked(record, rule_name, record.prompt, rule_finding, rule_finding.start, rule_finding.end)


def _task_measures(record: WrittenRecord) -> Iterator[tuple[str, RuleScore]]:
    whole_prompt = (0, len(record.prompt))
    if record.fault or not record.prompt:
        yield "record", _faulty_measure(record.fault or "neither a trajectory nor a task", *whole_prompt)
        return
    question_measure = audible(record.question)
    question_offset = max(0, record.prompt.find(record.question))
    yield (
        "silent",
        RuleScore(
            question_measure.score,
            1,
            question_measure.reason,
            tuple(
                Finding(sound_finding.message, question_offset + sound_finding.start, question_offset + sound_finding.end)
                for sound_finding in question_measure.faults
            ),
        ),
    )
    if record.is_annotation:
        return
    if not record.targets:
        yield "target", _faulty_measure("no window and density are set as a target", *whole_prompt)
        return
    try:
        target_looks = tuple(
            Look(Window(round(start_s * 100), round(end_s * 100)), Fraction(fps).limit_denominator(1000))
            for start_s, end_s, fps in record.targets
        )
    except (ValueError, OverflowError) as error:
        yield "target", _faulty_measure(str(error), *whole_prompt)
        return
    rule_input = RuleInput(
        record.prompt, record.kind, record.question, record.options, duration_cs=record.duration_cs, looks=target_looks
    )
    yield "window", window(rule_input) or RuleScore(1.0)
    yield "density", density(rule_input, CONFIG.densities)
    yield "answer_form", _gold_form_measure(record, target_looks)


def _gold_form_measure(record: WrittenRecord, target_looks: tuple[Look, ...]) -> RuleScore:
    """Whether gold has the form that is asked for; of a grounding task, whether it lies in a window of its target."""
    answer_element = f"{OPEN['answer']}{record.gold}{CLOSE['answer']}"
    form_score = answer_form(RuleInput(answer_element, record.kind, record.question, record.options, record.gold))
    if form_score.faults:
        return _faulty_measure(form_score.faults[0].message, 0, len(record.prompt))
    answer_cs = read_span(record.gold.strip()) if record.kind == "grounding" else None
    windows = [target_look.window for target_look in target_looks]
    if answer_cs is not None and not any(
        window.start_cs <= answer_cs[0] and answer_cs[1] <= window.end_cs for window in windows
    ):
        windows_text = ", ".join(f"{window.start_s} to {window.end_s}" for window in windows)
        message = f"the answer {record.gold} is not inside the target {windows_text}"
        return _faulty_measure(message, 0, len(record.prompt))
    return RuleScore(1.0)


def _faulty_measure(message: str, start: int, end: int) -> RuleScore:
    return RuleScore(0.0, 1, message, (Finding(message, start, end),))


def _marked(record: WrittenRecord, rule_name: str, text: str, rule_finding: Finding, start: int, end: int) -> LintFinding:
    text_before, text_after = text[max(0, start - CONTEXT_CHARS) : start], text[end : end + CONTEXT_CHARS]
    marked_text = (
        text[start:end]
        if end - start <= 2 * CONTEXT_CHARS
        else f"{text[start : start + CONTEXT_CHARS]} ... {text[end - CONTEXT_CHARS : end]}"
    )
    return LintFinding(
        record.record,
        rule_name,
        rule_finding.message,
        start,
        end,
        " ".join(f"{text_before}\u00bb{marked_text}\u00ab{text_after}".split()),
    )
