"""What each value of a threshold would keep, all others as they are: the curve behind a choice, from one pass over the scores.

Of a task one candidate is kept. So a task is kept up to the best score that any of its otherwise fit candidates has; where the
recipe has caps or balance, which count over all that is kept, each value is selected by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dmforge.filters.selection.selection import Selection, SelectionRules, counts

MAX_STEPS = 41
"""Values that are tried where there are more scores than that."""
Bound = Literal["min", "max"]
_SCORES = "SELECT DISTINCT score FROM verdicts WHERE filter = $filter AND isfinite(score) ORDER BY score"


@dataclass(frozen=True, slots=True)
class SweepStep:
    """A value of a threshold, and how many samples it keeps."""

    at: float
    kept: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """The curve of one threshold."""

    filter: str
    bound: Bound
    """Which of its two thresholds is varied."""
    now: float | None
    """What the recipe says; None where it says nothing about this filter."""
    steps: tuple[SweepStep, ...]
    """From the value that keeps most to the strictest."""

    def as_json(self) -> dict[str, Any]:
        steps = [{"at": step.at, "kept": step.kept} for step in self.steps]
        return {"filter": self.filter, "bound": self.bound, "now": self.now, "sweep": steps}


def sweep(selection: Selection, filter_name: str) -> Sweep:
    """The curve of one filter's threshold."""
    (curve,) = sweeps(selection, [filter_name])
    return curve


def sweeps(selection: Selection, filter_names: Sequence[str]) -> list[Sweep]:
    """The curves of some filters' thresholds, from one pass over all candidates."""
    rules = selection.requirements
    values = {name: _values(selection, name) for name in filter_names}
    if rules.caps or rules.balance:
        return [_sweep(rules, name, _selected(selection, name, values[name]), values[name]) for name in filter_names]
    scored = replace(selection, requirements=replace(rules, order=tuple(sorted({*rules.order, *filter_names}))))
    kept = {name: np.zeros(len(values[name]), np.int64) for name in filter_names}
    for positions in scored.standing_ranges():
        for name in filter_names:
            kept[name] += _kept_tasks(scored, positions, name, values[name])
    return [_sweep(rules, name, kept[name].tolist(), values[name]) for name in filter_names]


def bound_of(rules: SelectionRules, filter_name: str) -> Bound:
    """The threshold that is varied: the upper one of a filter that has no other."""
    return "max" if filter_name in rules.max_scores and filter_name not in rules.thresholds else "min"


def _values(selection: Selection, filter_name: str) -> list[float]:
    """The values to be tried, the one that keeps most first: all scores that there are, or so many evenly spread ones, with
    what the recipe says."""
    rules = selection.requirements
    scores: list[float] = [row[0] for row in selection.connection.execute(_SCORES, {"filter": filter_name}).fetchall()]
    if len(scores) > MAX_STEPS:
        scores = np.linspace(scores[0], scores[-1], MAX_STEPS).round(4).tolist()
    now = _now(rules, filter_name)
    values: list[float] = sorted({*scores, *([] if now is None else [now])})
    return values[::-1] if bound_of(rules, filter_name) == "max" else values


def _now(rules: SelectionRules, filter_name: str) -> float | None:
    bounds = rules.max_scores if bound_of(rules, filter_name) == "max" else rules.thresholds
    return bounds.get(filter_name)


def _sweep(rules: SelectionRules, filter_name: str, kept: Sequence[int], values: Sequence[float]) -> Sweep:
    steps = tuple(SweepStep(at, count) for at, count in zip(values, kept, strict=True))
    return Sweep(filter_name, bound_of(rules, filter_name), _now(rules, filter_name), steps)


def _kept_tasks(
    selection: Selection, positions: Mapping[str, int], filter_name: str, values: Sequence[float]
) -> NDArray[np.int64]:
    """For each value, how many tasks of the range have a candidate that it keeps."""
    rules, score = selection.requirements, f"s{positions[filter_name]}"
    required = (rules.min_scores.keys() | rules.max_scores.keys()) - {filter_name}
    needed_bits = sum(1 << positions[name] for name in required)
    is_upper = bound_of(rules, filter_name) == "max"
    is_optional = not is_upper and filter_name in rules.thresholds and filter_name not in rules.min_scores
    conditions = [
        "refused IS NULL", f"(failed & ~{1 << positions[filter_name]}::BIGINT) = 0", f"(known & {needed_bits}) = {needed_bits}",
        *([] if is_optional else [f"{score} IS NOT NULL"]),
        *([f"coalesce({score} <= {rules.max_scores[filter_name]!r}, true)"]
          if not is_upper and filter_name in rules.max_scores else []),
    ]  # fmt: skip
    sql = f"""
        SELECT {"min" if is_upper else "max"}({score}) AS best, bool_or({score} IS NULL) AS unmeasured FROM standing
        WHERE {" AND ".join(conditions)} GROUP BY task
    """
    tasks = selection.connection.sql(sql).to_arrow_table()
    is_unmeasured = tasks.column("unmeasured").to_numpy()
    best_scores = np.sort(tasks.column("best").to_numpy()[~is_unmeasured])
    at = np.array(values)
    below, up_to = np.searchsorted(best_scores, at, "left"), np.searchsorted(best_scores, at, "right")
    return (up_to if is_upper else len(best_scores) - below) + int(is_unmeasured.sum())


def _selected(selection: Selection, filter_name: str, values: Sequence[float]) -> list[int]:
    """How many are kept at each value, caps and balance included."""
    return [
        sum(counts(selection.connection).get(None, 0) for _ in replace(selection, requirements=rules).decide_ranges())
        for rules in (_with_bound(selection.requirements, filter_name, at) for at in values)
    ]


def _with_bound(rules: SelectionRules, filter_name: str, at: float) -> SelectionRules:
    if bound_of(rules, filter_name) == "max":
        return replace(rules, max_scores={**rules.max_scores, filter_name: at})
    if filter_name in rules.thresholds and filter_name not in rules.min_scores:
        return replace(rules, min_scores_if_measured={**(rules.min_scores_if_measured or {}), filter_name: at})
    return replace(rules, min_scores={**rules.min_scores, filter_name: at})
