"""Go, look or stop: checks over what was kept, each with its figure, its threshold and three samples; the worst decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import duckdb

from dmforge.curation.audit.check_limits import Checks, CostLimit, Limit
from dmforge.curation.audit.check_measures import FAILING, MEASURES, Measure
from dmforge.curation.audit.kept_rows import kept_rows
from dmforge.curation.audit.query import QueryResult, Tables, ask
from dmforge.curation.contract.collective import View
from dmforge.curation.io.command_result import Block, TextTable
from dmforge.curation.lake.database import interruptible
from dmforge.schemas.ids import show

Verdict = Literal["go", "look", "stop"]
State = Literal["go", "look", "stop", "unmeasured"]
EXAMPLES = 3
"""How many samples a check names."""
UNIT_COST, NOTHING_KEPT = "cost_per_sample", "kept"
"""Checks that are no share of what was kept."""
BEYOND_CHANCE_SE = 2
"""Standard errors by which a figure must lie beyond chance before it counts."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The largest figures that need no look, and that stop nobody; None where none is too large."""

    look: float | None
    stop: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was counted, of how many, and what follows."""

    check: str
    state: State
    count: int | None
    of: int
    share: float | None
    """The figure that is held against the threshold: mostly count over of."""
    threshold: Threshold
    examples: tuple[str, ...]
    about: str
    """What is counted, in words."""
    hint: str
    chance: float | None = None
    """The share that comes by itself; `share` is what lies beyond it."""

    @property
    def figure(self) -> str:
        """The figure as people read it."""
        if self.state == "unmeasured":
            return "not measured"
        if self.share is None:
            return f"{self.count:,}"
        if self.check == UNIT_COST:
            return f"{self.share:.4g} USD"
        if self.chance is not None:
            return f"{self.count:,} of {self.of:,}, {self.share:.1%} beyond chance"
        return f"{self.count:,} of {self.of:,} ({self.share:.1%})"

    @property
    def limits(self) -> str:
        """The threshold as people read it."""
        if self.check == NOTHING_KEPT:
            return "stop at none"
        bounds = {"look": self.threshold.look, "stop": self.threshold.stop}
        scale, unit = (1, " USD") if self.check == UNIT_COST else (100, " %")
        return ", ".join(f"{name} over {bound * scale:.4g}{unit}" for name, bound in bounds.items() if bound is not None)


@dataclass(frozen=True, slots=True)
class CorpusVerdict(QueryResult):
    """The checks of a corpus and the verdict that follows: the worst state of any of them."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        states = {check.state for check in self.checks}
        return "stop" if "stop" in states else "look" if "look" in states else "go"

    @property
    def deciding(self) -> tuple[Check, ...]:
        """The checks that decide: those in the state of the verdict, where it is not go."""
        return tuple(check for check in self.checks if check.state == self.verdict != "go")

    @property
    def unmeasured(self) -> tuple[Check, ...]:
        """The checks that had nothing to measure: they say nothing, be it good or bad."""
        return tuple(check for check in self.checks if check.state == "unmeasured")

    def as_json(self) -> dict[str, Any]:
        checks = [{**asdict(check), "examples": list(check.examples)} for check in self.checks]
        return {"verdict": self.verdict, "checks": checks, "columns": self.columns, "rows": self.rows}

    def blocks(self) -> Iterator[Block]:
        yield self.verdict
        for check in self.deciding:
            yield f"  {check.about}: {check.figure}"
        yield TextTable(
            ["check", "state", "figure", "threshold", "examples"],
            [[check.check, check.state, check.figure, check.limits, " ".join(check.examples)] for check in self.checks],
        )
        for check in self.checks:
            if check.state in ("stop", "look"):
                yield f"{check.check}: {check.hint}"


def corpus_checks(view: View, limits: Checks, extra_tables: Tables) -> CorpusVerdict:
    """Check all that the selections of a view kept; `extra_tables` are those that say what answers cost."""
    with interruptible():
        cursor = kept_rows(view, limits.min_scores)
        (sample_count,) = _row(cursor, "SELECT count(*) FROM kept")
        checks = [_kept(sample_count)]
        for name, measure in MEASURES.items():
            limit: Limit = getattr(limits, name)
            checks.append(_measured(cursor, name, measure, limit, limits.min_scores))
        failing = cursor.execute(FAILING).fetchall()
        checks.append(_cost(ask(view, "cost", extra_tables), limits.cost_per_sample))
    checks = [_naming_filters(check, failing) if check.check == "failing_filters" else check for check in checks]
    rows = [
        [c.check, c.state, c.count, c.of, c.share, c.threshold.look, c.threshold.stop, " ".join(c.examples)] for c in checks
    ]
    return CorpusVerdict(["check", "state", "count", "of", "share", "look_over", "stop_over", "examples"], rows, tuple(checks))


def _measured(
    cursor: duckdb.DuckDBPyConnection, name: str, measure: Measure, limit: Limit, min_scores: Mapping[str, float]
) -> Check:
    rows_sql = measure.rows_sql
    has_chance = "AS chance" in rows_sql
    chance_sql = "avg(chance), sqrt(sum(chance * (1 - chance))) / count(*)" if has_chance else "0::DOUBLE, 0::DOUBLE"
    count, of, chance, standard_error = _row(
        cursor, f"SELECT count(*) FILTER (fails), count(*), {chance_sql} FROM ({rows_sql})"
    )
    hint = measure.advice(min_scores, is_measured=of > 0)
    if not of:
        return Check(name, "unmeasured", 0, 0, None, _threshold(limit), (), measure.about, hint)
    share = round(max(0.0, count / of - chance - BEYOND_CHANCE_SE * standard_error), 6)
    examples_sql = f"SELECT id FROM ({rows_sql}) WHERE fails ORDER BY rank, id LIMIT {EXAMPLES}"
    examples = tuple(show("sample", id) for (id,) in cursor.execute(examples_sql).fetchall()) if count else ()
    state, known_chance = _state(share, limit), round(chance, 6) if has_chance else None
    return Check(name, state, count, of, share, _threshold(limit), examples, measure.about, hint, known_chance)


def _kept(sample_count: int) -> Check:
    """Whether there is anything to check at all."""
    state: State = "go" if sample_count else "stop"
    hint = "`dmforge audit funnel` says what became of everything"
    return Check(
        NOTHING_KEPT, state, sample_count, sample_count, None, Threshold(None, None), (), "samples that were kept", hint
    )


def _cost(costs: QueryResult, limit: CostLimit) -> Check:
    """What all answers cost, of every model whose price is known, for each sample that was kept."""
    usd_column, kept_column = costs.columns.index("usd"), costs.columns.index("kept")
    known_usd = [row[usd_column] for row in costs.rows if row[usd_column] is not None]
    kept_count = sum(row[kept_column] or 0 for row in costs.rows)
    share = round(sum(known_usd) / kept_count, 6) if known_usd and kept_count else None
    hint = "`dmforge audit cost` and `dmforge audit dearest` say where it goes"
    state: State = "unmeasured" if share is None else _state(share, limit)
    return Check(UNIT_COST, state, None, kept_count, share, _threshold(limit), (), "US dollars for each kept sample", hint)


def _naming_filters(check: Check, failing: Sequence[tuple[str, int, float, bool]]) -> Check:
    """The check of all other filters, with those that fail, and what to ask of each."""
    if not failing:
        return check
    names = ", ".join(f"{filter_name} ({samples:,})" for filter_name, samples, _, _ in failing)
    # under min_score a sample that a filter did not measure would wait for its score for ever
    hints = list[str]()
    for table, measures_all in (("min_score", True), ("min_score_if_present", False)):
        thresholds = [f"`{name} = {float(least)}`" for name, _, least, is_complete in failing if is_complete == measures_all]
        if thresholds:
            hints.append(f"put {', '.join(thresholds)} under [stages.select_cot.{table}]")
    return replace(check, about=f"{check.about}: {names}", hint="; ".join(hints))


def _threshold(limit: Limit | CostLimit) -> Threshold:
    return Threshold(limit.look, limit.stop)


def _state(figure: float, limit: Limit | CostLimit) -> State:
    if limit.stop is not None and figure > limit.stop:
        return "stop"
    return "look" if limit.look is not None and figure > limit.look else "go"


def _row(cursor: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    return cursor.execute(sql).fetchall()[0]
