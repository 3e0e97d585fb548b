"""Rules about the shape of a trajectory: its tags, where it looks, how densely, and the form of its answer."""

from __future__ import annotations

import re
from fractions import Fraction
from math import floor
from string import ascii_uppercase

from dmforge.filters.judged import SOUND, Fault, Judged, Measure, Stretch, shared
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Window, print_density, print_seconds, print_span, read_span
from dmforge.schemas.scoring import MAX_ANSWER_CHARS, measure_cs, normalised, overlap_cs, without_lead

MORE = re.compile(r"[\n\r]|[.!?]\s+\S|,?\s\b(?:because|since|as one can|as can be|so that|which means)\b", re.IGNORECASE)
"""Behind an answer: a further line, a further sentence, a reason."""
EITHER = re.compile(r"\s(?:or|and/or)\s|\s/\s", re.IGNORECASE)


def grammar(judged: Judged) -> Measure:
    """Does the text parse, with a look, and with something in each thought?"""
    found = judged.parsed
    if not isinstance(found, Trajectory):
        faults = tuple(Fault(f"{defect.rule}: {defect.message}", defect.start, defect.end) for defect in found)
        return Measure(0.0, 1, found[0].rule, faults)
    if not found.looks:
        return Measure(0.0, 1, "no look", (Fault("nothing is looked at", 0, len(judged.text)),))
    empty = [thought for thought in judged.thoughts if not thought.text.strip()]
    if empty:
        return Measure(0.0, 1, "empty thought", tuple(_at(thought, "nothing is thought here") for thought in empty))
    return SOUND


def window(judged: Judged) -> Measure | None:
    """How much of what is looked at lies inside the video?"""
    if judged.duration_cs is None:
        return None
    windows = tuple(look.window for look in judged.looks)
    if not windows or judged.duration_cs <= 0:
        return Measure(0.0, len(windows), "no window", (_at(judged.place_of_look(0), "no window in a video"),))
    inside = Fraction(overlap_cs(windows, (Window(0, judged.duration_cs),)), measure_cs(windows))
    if inside == 1:
        return Measure(1.0, len(windows))
    told = f"{', '.join(map(print_span, windows))} in a video of {print_seconds(judged.duration_cs)} s"
    past = next(nth for nth, look in enumerate(judged.looks) if look.window.end_cs > judged.duration_cs)
    return Measure(float(inside), len(windows), "past the end", (_at(judged.place_of_look(past), told),))


def density(judged: Judged, offered: tuple[int, ...]) -> Measure:
    """Is every density one of those that are offered?"""
    if not judged.looks:
        return Measure(0.0, 0, "no look", (_at(judged.place_of_look(0), "no density"),))
    odd = [
        _at(judged.place_of_look(nth), f"{print_density(look.fps)} fps is not among {', '.join(map(str, offered))}")
        for nth, look in enumerate(judged.looks)
        if look.fps not in offered
    ]
    return shared(odd, len(judged.looks), "density not offered")


def frames(judged: Judged) -> Measure | None:
    """Does each look show at least two frames, and no more than a look may have?"""
    most, score = judged.clips.look_frames, Fraction(1)
    faults: list[Fault] = []
    for nth, look in enumerate(judged.looks):
        end_s = look.window.end_s if judged.duration_cs is None else min(look.window.end_s, Fraction(judged.duration_cs, 100))
        asked = max(0, floor((end_s - look.window.start_s) * look.fps))
        fits = Fraction(most, asked) if asked > most else Fraction(min(asked, 2), 2)
        if fits < 1:
            faults.append(_at(judged.place_of_look(nth), f"{asked} frames; a look shows 2 to {most}"))
        score = min(score, fits)
    if not judged.looks:
        return None
    return Measure(float(score), len(judged.looks), "frames out of bounds" if faults else "", tuple(faults))


def answer_form(judged: Judged) -> Measure:
    """Is the answer one answer of the form that the question asks for, and nothing else?"""
    place = judged.answers[0]
    given = place.text.strip()
    if not given:
        reason = "no answer"
    elif len(judged.answers) > 1:
        reason, place = "two answers", judged.answers[1]
    elif judged.kind == "grounding":
        span = read_span(given)
        reason = "" if span is not None and span[0] < span[1] else "not a span"
    elif judged.options:
        reason = "" if _names_one(given, judged.options) else "not one of the options"
    elif MORE.search(given) and not MORE.search(judged.gold):
        reason = "more than an answer"
    else:
        reason = "two answers" if EITHER.search(given) and not EITHER.search(judged.gold) else ""
    return Measure(0.0, 1, reason, (_at(place, f"{reason}: {given[:80]!r}"),)) if reason else SOUND


def _names_one(given: str, options: tuple[str, ...]) -> bool:
    """A letter, an option's text, or both, and not a word more."""
    if len(given) > MAX_ANSWER_CHARS:
        return False
    said = normalised(without_lead(given))
    forms = (
        form
        for letter, option in zip(ascii_uppercase, options, strict=False)
        for form in (letter, option, f"{letter} {option}", f"option {letter}", f"{letter}. {option}")
    )
    return any(said == normalised(form) for form in forms)


def _at(place: Stretch, message: str) -> Fault:
    return Fault(message, place.start, place.end)
