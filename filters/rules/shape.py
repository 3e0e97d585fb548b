"""Rules about the form of a trajectory: its tags, where it looks, how densely, and the form of its answer."""

from __future__ import annotations

import re
from fractions import Fraction
from math import floor
from string import ascii_uppercase

from dmforge.filters.rules.rule import SOUND, Finding, RuleInput, RuleScore, TextSpan, measure_share
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Window, print_density, print_seconds, print_span, read_span
from dmforge.schemas.scoring import MAX_ANSWER_CHARS, measure_cs, normalised, overlap_cs, without_lead

BEYOND_AN_ANSWER = re.compile(
    r"[\n\r]|[.!?]\s+\S|,?\s\b(?:because|since|as one can|as can be|so that|which means)\b", re.IGNORECASE
)
"""What must not follow an answer: a further line, a further sentence, a reason."""
TWO_ANSWERS = re.compile(r"\s(?:or|and/or)\s|\s/\s", re.IGNORECASE)


def grammar(rule_input: RuleInput) -> RuleScore:
    """Does the text parse, with a look, and with something in each thought?"""
    trajectory_or_defects = rule_input.parsed
    if not isinstance(trajectory_or_defects, Trajectory):
        grammar_faults = tuple(
            Finding(f"{defect.rule}: {defect.message}", defect.start, defect.end) for defect in trajectory_or_defects
        )
        return RuleScore(0.0, 1, trajectory_or_defects[0].rule, grammar_faults)
    if not trajectory_or_defects.looks:
        return RuleScore(0.0, 1, "no look", (Finding("nothing is looked at", 0, len(rule_input.text)),))
    empty_thoughts = [thought for thought in rule_input.thoughts if not thought.text.strip()]
    if empty_thoughts:
        return RuleScore(
            0.0, 1, "empty thought", tuple(_fault_at(thought, "nothing is thought here") for thought in empty_thoughts)
        )
    return SOUND


def window(rule_input: RuleInput) -> RuleScore | None:
    """How much of what is looked at lies inside the video?"""
    if rule_input.duration_cs is None:
        return None
    look_windows = tuple(look.window for look in rule_input.looks)
    if not look_windows or rule_input.duration_cs <= 0:
        return RuleScore(0.0, len(look_windows), "no window", (_fault_at(rule_input.place_of_look(0), "no window in a video"),))
    share_inside = Fraction(overlap_cs(look_windows, (Window(0, rule_input.duration_cs),)), measure_cs(look_windows))
    if share_inside == 1:
        return RuleScore(1.0, len(look_windows))
    windows_message = f"{', '.join(map(print_span, look_windows))} in a video of {print_seconds(rule_input.duration_cs)} s"
    index_past_end = next(index for index, look in enumerate(rule_input.looks) if look.window.end_cs > rule_input.duration_cs)
    return RuleScore(
        float(share_inside),
        len(look_windows),
        "past the end",
        (_fault_at(rule_input.place_of_look(index_past_end), windows_message),),
    )


def density(rule_input: RuleInput, offered: tuple[int, ...]) -> RuleScore:
    """Is every density one of those that are offered?"""
    if not rule_input.looks:
        return RuleScore(0.0, 0, "no look", (_fault_at(rule_input.place_of_look(0), "no density"),))
    density_faults = [
        _fault_at(
            rule_input.place_of_look(look_index), f"{print_density(look.fps)} fps is not among {', '.join(map(str, offered))}"
        )
        for look_index, look in enumerate(rule_input.looks)
        if look.fps not in offered
    ]
    return measure_share(density_faults, len(rule_input.looks), "density not offered")


def frames(rule_input: RuleInput) -> RuleScore | None:
    """Does each look show at least two frames, and no more than a look may have?"""
    max_frames, worst_share = rule_input.clips.look_frames, Fraction(1)
    frame_faults: list[Finding] = []
    for look_index, look in enumerate(rule_input.looks):
        end_s = (
            look.window.end_s
            if rule_input.duration_cs is None
            else min(look.window.end_s, Fraction(rule_input.duration_cs, 100))
        )
        frame_count = max(0, floor((end_s - look.window.start_s) * look.fps))
        fitting_share = Fraction(max_frames, frame_count) if frame_count > max_frames else Fraction(min(frame_count, 2), 2)
        if fitting_share < 1:
            frame_faults.append(
                _fault_at(rule_input.place_of_look(look_index), f"{frame_count} frames; a look shows 2 to {max_frames}")
            )
        worst_share = min(worst_share, fitting_share)
    if not rule_input.looks:
        return None
    return RuleScore(
        float(worst_share), len(rule_input.looks), "frames out of bounds" if frame_faults else "", tuple(frame_faults)
    )


def answer_form(rule_input: RuleInput) -> RuleScore:
    """Is the answer one answer of the form that the question asks for, and nothing else?"""
    answer_span = rule_input.answers[0]
    answer_text = answer_span.text.strip()
    if not answer_text:
        form_fault = "no answer"
    elif len(rule_input.answers) > 1:
        form_fault, answer_span = "two answers", rule_input.answers[1]
    elif rule_input.kind == "grounding":
        span_cs = read_span(answer_text)
        form_fault = "" if span_cs is not None and span_cs[0] < span_cs[1] else "not a span"
    elif rule_input.options:
        form_fault = "" if _names_one_option(answer_text, rule_input.options) else "not one of the options"
    elif BEYOND_AN_ANSWER.search(answer_text) and not BEYOND_AN_ANSWER.search(rule_input.gold):
        form_fault = "more than an answer"
    else:
        form_fault = "two answers" if TWO_ANSWERS.search(answer_text) and not TWO_ANSWERS.search(rule_input.gold) else ""
    return (
        RuleScore(0.0, 1, form_fault, (_fault_at(answer_span, f"{form_fault}: {answer_text[:80]!r}"),)) if form_fault else SOUND
    )


def _names_one_option(answer: str, options: tuple[str, ...]) -> bool:
    """Whether an answer is one option's letter, its text, or both, and not a word more."""
    if len(answer) > MAX_ANSWER_CHARS:
        return False
    normalised_answer = normalised(without_lead(answer))
    accepted_forms = (
        accepted_form
        for letter, option in zip(ascii_uppercase, options, strict=False)
        for accepted_form in (letter, option, f"{letter} {option}", f"option {letter}", f"{letter}. {option}")
    )
    return any(normalised_answer == normalised(accepted_form) for accepted_form in accepted_forms)


def _fault_at(span: TextSpan, message: str) -> Finding:
    return Finding(message, span.start, span.end)
