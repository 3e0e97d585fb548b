"""What a question about a world should be answered with, from its script alone: it shares nothing with the oracle."""

from __future__ import annotations

import re
from collections.abc import Callable

from dmforge.generators.synthetic.worlds.script import Script, Visit

Spans = list[tuple[float, float]]
STEP_S = 1 / 6 + 1e-9
"""Storylines are told from 6 frames a second: an edge is known to one of them."""


def agrees(script: Script, question: str, answer: str, windows: Spans) -> bool:
    """Whether an answer and its windows are what the script says."""
    for pattern, check in CHECKS:
        found = re.fullmatch(pattern, question)
        if found is not None:
            return check(script, answer, windows, *found.groups())
    raise AssertionError(f"nobody knows what this asks: {question!r}")


def _stays(script: Script, name: str) -> list[Visit]:
    return sorted((visit for visit in script.visits if visit.name == name), key=lambda visit: visit.window.start_cs)


def _span(visit: Visit) -> tuple[float, float]:
    return visit.window.start_cs / 100, visit.window.end_cs / 100


def _same(found: Spans, wanted: list[Visit]) -> bool:
    spans = [_span(visit) for visit in wanted]
    close = (abs(a - c) <= STEP_S and abs(b - d) <= STEP_S for (a, b), (c, d) in zip(found, spans, strict=False))
    return len(found) == len(spans) and all(close)


def _shape(script: Script, answer: str, windows: Spans, colour: str) -> bool:
    those = [visit for visit in script.visits if visit.colour == colour]
    return bool(those) and answer == those[0].shape and _same(windows, _stays(script, those[0].name))


def _when(script: Script, answer: str, windows: Spans, name: str) -> bool:
    start_s, end_s = map(float, answer.split(" - "))
    return windows == [(start_s, end_s)] and _same(windows, _stays(script, name))


def _does(script: Script, answer: str, windows: Spans, name: str) -> bool:
    visit = _stays(script, name)[0]
    deed = visit.deed
    if deed.flashes:
        said = f"it flashes {deed.flashes[0].colour}"
    elif deed.turns:
        said = f"it turns {deed.turns.colour}"
    elif deed.moves:
        said = f"it moves {deed.moves if deed.moves in ('up', 'down') else f'to the {deed.moves}'}"
    else:
        said = "white dots line up"
    return answer == said and _same(windows, [visit])


def _first(script: Script, answer: str, windows: Spans, one: str, other: str) -> bool:
    stays = sorted((_stays(script, name)[0] for name in (one, other)), key=lambda visit: visit.window.start_cs)
    return answer == f"the {stays[0].name}" and _same(windows, stays)


def _when_first(script: Script, answer: str, windows: Spans) -> bool:
    first = min(script.visits, key=lambda visit: visit.window.start_cs)
    return _when(script, answer, windows, first.name) or _same(windows, [first])


def _flashes(script: Script, answer: str, windows: Spans, name: str) -> bool:
    stays = _stays(script, name)
    return answer == str(sum(len(visit.deed.flashes) for visit in stays)) and _same(windows, stays)


def _dots(script: Script, answer: str, windows: Spans, name: str) -> bool:
    stays = _stays(script, name)
    return answer == str(len(stays[0].deed.dots)) and _same(windows, stays)


def _seconds(script: Script, answer: str, windows: Spans, name: str) -> bool:
    (visit,) = _stays(script, name)
    return abs(float(answer) - (visit.window.end_cs - visit.window.start_cs) / 100) <= 0.5 and _same(windows, [visit])


def _state(script: Script, answer: str, windows: Spans, name: str) -> bool:
    visit = _stays(script, name)[0]
    return visit.deed.turns is not None and answer == visit.deed.turns.colour and _same(windows, [visit])


def _cause(script: Script, answer: str, windows: Spans, name: str) -> bool:
    visit = _stays(script, name)[0]
    beside = _beside(script, visit)
    return beside is not None and answer == f"the {beside.name} flashes" and _same(windows, [visit])


def _effect(script: Script, answer: str, windows: Spans, name: str, other: str) -> bool:
    visit = _stays(script, name)[0]
    beside, turns = _beside(script, visit), visit.deed.turns
    return beside is not None and beside.name == other and turns is not None and answer == f"it turns {turns.colour}"


def _beside(script: Script, visit: Visit) -> Visit | None:
    """What is on screen at the same time, and flashes in the frame in which it changes."""
    turns = visit.deed.turns
    others = [one for one in script.visits if one.name != visit.name and one.deed.flashes and turns]
    at = [one for one in others if turns and one.first + one.deed.flashes[0].first == visit.first + turns.first]
    return at[0] if at else None


def _longer(script: Script, answer: str, windows: Spans, name: str) -> bool:
    first, second = _stays(script, name)
    lengths = [visit.window.end_cs - visit.window.start_cs for visit in (first, second)]
    return answer == f"the {'first' if lengths[0] > lengths[1] else 'second'} time" and _same(windows, [first, second])


OBJECT = r"(\w+ \w+)"
CHECKS: list[tuple[str, Callable[..., bool]]] = [
    (r"What shape is the (\w+) object\?", _shape),
    (rf"When is the {OBJECT} on screen\?", _when),
    (rf"What does the {OBJECT} do while it is on screen\?", _does),
    (rf"Which comes on screen first, the {OBJECT} or the {OBJECT}\?", _first),
    (r"When is the object on screen that comes first\?", _when_first),
    (rf"How many times does the {OBJECT} flash\?", _flashes),
    (rf"How many white dots line up while the {OBJECT} is on screen\?", _dots),
    (rf"For how many seconds is the {OBJECT} on screen\?", _seconds),
    (rf"Which colour is the {OBJECT} after it has changed\?", _state),
    (rf"What makes the {OBJECT} change its colour\?", _cause),
    (rf"What happens to the {OBJECT} when the {OBJECT} flashes\?", _effect),
    (rf"When is the {OBJECT} longer on screen, the first or the second time\?", _longer),
]
