"""Rules and citations over any file of trajectories or tasks, whoever wrote it: each fault with its record and its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from dmforge.curation.exports.reading import Written, read_written
from dmforge.filters.citations import CITATIONS
from dmforge.filters.hearing import audible
from dmforge.filters.judged import Fault, Judged, Measure
from dmforge.filters.rules import RulesConfig, rules_of
from dmforge.filters.shape import answer_form, density, window
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window, read_span
from dmforge.schemas.scoring import answer_options
from dmforge.schemas.tags import CLOSE, OPEN

CONFIG = RulesConfig()
RULES = (*rules_of(CONFIG), *CITATIONS)
NEED_A_LOOK = frozenset({"window", "density", "frames"})
"""Where the grammar finds no look they would only say so again."""
LEAST = {"own_span": 0.0, "repetition": 0.7}
"""What is a matter of degree is a fault up to here; of all other rules each fault is one."""
AROUND = 48
"""Characters shown on either side of what is marked."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A fault of a record."""

    record: str
    rule: str
    message: str
    offset: int
    """Where it begins, in characters of the record's text; of a task, in its prompt."""
    end: int
    excerpt: str
    """The text around it, with what is meant between \u00bb and \u00ab."""


@dataclass(frozen=True, slots=True)
class Linted:
    """What was found in a file."""

    records: int
    defects: tuple[Marked, ...]


def lint(path: Path) -> Linted:
    """All faults of a file, in its order."""
    records = 0
    found: list[Marked] = []
    for written in map(_as_scored, read_written(path)):
        records += 1
        if written.exchanges > 1:
            text = written.text or written.prompt
            told = f"{written.exchanges} exchanges; only the last one is judged"
            found.append(_marked(written, "record", text, Fault(told, 0, len(text)), 0, len(text)))
        found += _of_trajectory(written) if written.text else _of_task(written)
    if not records:
        hint = "give shards, or rows of an export; what is empty has nothing to be held against rules"
        raise InputError("no record is in it", where=str(path), mend=hint)
    return Linted(records, tuple(found))


def _as_scored(written: Written) -> Written:
    """The same with the options that its answer is held against."""
    return replace(written, options=answer_options(written.kind, written.question, written.options, written.gold))


def _of_trajectory(written: Written) -> Iterator[Marked]:
    base = Judged(
        written.trajectory, written.kind, written.question, written.options, written.gold, written.windows, written.needs,
        written.duration_cs, clips=written.clips,
    )  # fmt: skip
    parsed = base.parsed
    if isinstance(parsed, Trajectory):
        base = Judged(
            base.text, base.kind, base.question, base.options, base.gold, base.windows, base.needs, base.duration_cs,
            parsed.looks, parsed.answer, base.clips,
        )  # fmt: skip
    for rule in RULES:
        found = None if rule.name in NEED_A_LOOK and not base.looks else rule.check(base)
        if found is not None and found.score < 1 and found.score <= LEAST.get(rule.name, 1.0):
            for fault in found.faults:
                yield _marked(written, rule.name, written.text, fault, written.place(fault.start), written.place(fault.end))


def _of_task(written: Written) -> Iterator[Marked]:
    """A task has no trajectory: judged are its question, its answer, and the look that it sets as a target."""
    for rule, found in _task_measures(written):
        for fault in found.faults:
            yield _marked(written, rule, written.prompt, fault, fault.start, fault.end)


def _task_measures(written: Written) -> Iterator[tuple[str, Measure]]:
    whole = (0, len(written.prompt))
    if not written.prompt:
        yield "record", _fault("neither a trajectory nor a task", *whole)
        return
    asked = audible(written.question)
    at = max(0, written.prompt.find(written.question))
    yield (
        "silent",
        Measure(asked.score, 1, asked.reason, tuple(Fault(f.message, at + f.start, at + f.end) for f in asked.faults)),
    )
    if written.target is None:
        yield "target", _fault("no window and density are set as a target", *whole)
        return
    start_s, end_s, fps = written.target
    try:
        look = Look(Window(round(start_s * 100), round(end_s * 100)), Fraction(fps).limit_denominator(1000))
    except (ValueError, OverflowError) as error:
        yield "target", _fault(str(error), *whole)
        return
    base = Judged(
        written.prompt, written.kind, written.question, written.options, duration_cs=written.duration_cs, looks=(look,)
    )
    yield "window", window(base) or Measure(1.0)
    yield "density", density(base, CONFIG.densities)
    yield "answer_form", _gold_form(written, look)


def _gold_form(written: Written, look: Look) -> Measure:
    """Whether gold has the form that is asked for; of a grounding task, whether it lies in the window that is its target."""
    text = f"{OPEN['answer']}{written.gold}{CLOSE['answer']}"
    found = answer_form(Judged(text, written.kind, written.question, written.options, written.gold))
    if found.faults:
        return _fault(found.faults[0].message, 0, len(written.prompt))
    span = read_span(written.gold.strip()) if written.kind == "grounding" else None
    if span is not None and (span[0] < look.window.start_cs or span[1] > look.window.end_cs):
        told = f"the answer {written.gold} is not inside the target {look.window.start_s} to {look.window.end_s}"
        return _fault(told, 0, len(written.prompt))
    return Measure(1.0)


def _fault(message: str, start: int, end: int) -> Measure:
    return Measure(0.0, 1, message, (Fault(message, start, end),))


def _marked(written: Written, rule: str, text: str, fault: Fault, start: int, end: int) -> Marked:
    before, after = text[max(0, start - AROUND) : start], text[end : end + AROUND]
    inside = text[start:end] if end - start <= 2 * AROUND else f"{text[start : start + AROUND]} ... {text[end - AROUND : end]}"
    return Marked(written.record, rule, fault.message, start, end, " ".join(f"{before}\u00bb{inside}\u00ab{after}".split()))
