"""Rules about several looks together: does each show something new, and is each of them used?"""

from __future__ import annotations

from fractions import Fraction

from dmforge.filters.rules.cited_times import cited_times
from dmforge.filters.rules.rule import Finding, Rule, RuleInput, RuleScore, measure_share
from dmforge.schemas.looks import Look, print_span
from dmforge.schemas.scoring import measure_cs, overlap_cs


def overlap_looks(rule_input: RuleInput) -> RuleScore:
    """How much of each look is new: not shown before by a look that was as dense?"""
    faults: list[Finding] = []
    smallest_new_share = Fraction(1)
    for look_index, look in enumerate(rule_input.looks):
        new_share = 1 - _shown_share(look, rule_input.looks[:look_index])
        smallest_new_share = min(smallest_new_share, new_share)
        if new_share < 1:
            look_span = rule_input.place_of_look(look_index)
            message = f"of {print_span(look.window)}, {float(1 - new_share):.0%} was shown before, as densely"
            faults.append(Finding(message, look_span.start, look_span.end))
    reason = "looks show the same twice" if faults else ""
    return RuleScore(float(smallest_new_share), len(rule_input.looks), reason, tuple(faults))


def idle_look(rule_input: RuleInput) -> RuleScore:
    """Does a later thought cite a time of each look? One look alone is no choice between looks, and is not judged."""
    if len(rule_input.looks) < 2:
        return RuleScore(1.0, len(rule_input.looks))
    faults: list[Finding] = []
    for look_index, look in enumerate(rule_input.looks):
        if not _is_cited(rule_input, look_index):
            look_span = rule_input.place_of_look(look_index)
            message = f"no later thought cites a time of {print_span(look.window)}"
            faults.append(Finding(message, look_span.start, look_span.end))
    return measure_share(faults, len(rule_input.looks), "a look that nothing uses")


def _shown_share(look: Look, earlier_looks: tuple[Look, ...]) -> Fraction:
    """The share of a look's window that earlier looks showed at its density or a higher one."""
    windows_as_dense = tuple(earlier.window for earlier in earlier_looks if earlier.fps >= look.fps)
    return Fraction(overlap_cs((look.window,), windows_as_dense), measure_cs((look.window,)))


def _is_cited(rule_input: RuleInput, look_index: int) -> bool:
    window = rule_input.looks[look_index].window
    return any(
        window.start_cs - cited_time.slack_cs <= cited_time.time_cs <= window.end_cs + cited_time.slack_cs
        for thought in rule_input.thoughts[look_index + 1 :]
        for cited_time in cited_times(thought)
    )


_TWO_LOOKS = "<think>Twice. <span>2.00 - 6.00</span><fps>2</fps>Red at 3.3 seconds. <span>{}</span><fps>2</fps>{}</think>"
LOOK_USE = (
    Rule("overlap_looks", overlap_looks, f"{_TWO_LOOKS.format('3.00 - 6.00', 'Red at 4.3 seconds.')}<answer>B</answer>"),
    Rule("idle_look", idle_look, f"{_TWO_LOOKS.format('8.00 - 11.00', 'It was red once.')}<answer>B</answer>"),
)
"""The rules, each with an example of two looks that fails it."""
