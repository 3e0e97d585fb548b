"""The checks that `inspect` makes, each with what it asks and on what: the rules of `lint`, and those about sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dmforge.filters.rules.lint import RULES

Group = Literal["rows", "questions", "windows", "choices", "looks", "trajectories", "named", "found"]
"""What a check is made on: all rows; those that can be read as a question; those with a window, with options, with a
trajectory or the look that is a target, with a trajectory; those that name a video; those whose video is at hand."""


@dataclass(frozen=True, slots=True)
class SetCheck:
    """A check."""

    name: str
    asks: str
    """What a sound row answers with yes."""
    group: Group
    drops: bool
    """Whether it is a fault of single rows, for which one would drop them; else it is to be known."""


def _fault(name: str, asks: str, group: Group = "questions") -> SetCheck:
    return SetCheck(name, asks, group, drops=True)


def _note(name: str, asks: str, group: Group = "questions") -> SetCheck:
    return SetCheck(name, asks, group, drops=False)


_GROUPS: Mapping[str, Group] = {"silent": "questions", "window": "looks", "density": "looks", "answer_form": "looks"}
"""Rules that are about more than trajectories: about any question, or about a target as well."""
CHECKS: Mapping[str, SetCheck] = {
    check.name: check
    for check in (
        _fault("unreadable", "Can the row be read in its format?", "rows"),
        _fault("invalid", "Can it be a task: has it a question, and an answer that is one of its options?", "rows"),
        _fault("window_outside", "Do its windows lie inside its video, and end after they begin?", "windows"),
        _note("mended", "Can it be read without mending it, as by clamping a window by less than a second?"),
        _fault("target", "Can the look that is its target be one?", "looks"),
        *(_fault(rule.name, rule.about, _GROUPS.get(rule.name, "trajectories")) for rule in RULES),
        _fault("answer_in_question", "Does the question leave the answer open?"),
        _fault("duplicate", "Is it asked for the first time about its video?"),
        _note("other_answer", "Has its video no question before it that is nearly the same and has another answer?"),
        _note("repeated_question", "Is it asked about no other video?"),
        _fault("across_splits", "Is it asked in no other split about the same video?"),
        _note("video_across_splits", "Does its video stand in one split only?"),
        _fault("benchmark_video", "Does no benchmark list its video?", "named"),
        _note("benchmark_question", "Does it share no eight words in a row with a benchmark's question?"),
        _fault("video_missing", "Is its video at hand, and only one of that name?", "named"),
        _fault("video_unreadable", "Can its video be decoded?", "found"),
        _note("unbalanced_options", "Is each letter right as often as any other?", "choices"),
        _note("guess_by_letter", "Does always naming the commonest letter fare no better than chance?", "choices"),
        _note("guess_by_length", "Does always naming the longest option fare no better than chance?", "choices"),
    )
}
"""Every check by its name, in the order in which they are told."""
