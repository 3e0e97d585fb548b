"""A sweep says of every value of a threshold what a selection with that value keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from rich.console import Console
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands.demo import chain
from dmforge.curation.lake.partition import ALL, IN_ONE
from dmforge.filters.selection.selection import Selection, SelectionRules, counts
from dmforge.filters.selection.sweep import MAX_STEPS, sweep, sweeps
from dmforge.schemas.records import Verdict
from tests.judging.lakes import judged
from tests.judging.test_select import candidate, task, verdicts, video
from tests.support.made_once import made_once


def drawn(seed: int) -> list[Any]:
    """Videos, tasks with one to three candidates, and scores, some of them missing, of candidates, tasks and videos."""
    random, rows = Random(seed), list[Any]()
    for number in range(4):
        film, said = video(number, "benchmark" if number == 3 else "train")
        rows += [film, said]
        if number % 2:
            rows.append(Verdict(film.id, film.id, "video", "clean", random.choice((0.0, 1.0)), 1))
        for nth in range(10):
            asked = task(film, 100 * number + nth, random.choice(("open", "mcq")))
            rows.append(asked)
            if random.random() < 0.5:
                rows.append(Verdict(film.id, asked.id, "task", "silent", random.choice((0.0, 0.5, 1.0)), 1))
            for attempt in range(random.randint(1, 3)):
                made = candidate(asked, attempt)
                names = [name for name in ("answer", "evidence", "silent") if random.random() < 0.85]
                rows += [made, *verdicts(made, {name: random.choice((-1.0, -0.5, 0.0, 0.2, 0.5, 1.0)) for name in names})]
    return rows


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    return judged(tmp_path_factory.mktemp("lake"), drawn(1)).connection.cursor()


RULES = {
    "one least score": SelectionRules({"answer": 0.2, "evidence": -0.5}, {}),
    "an order": SelectionRules({"answer": 0.2}, {}, ("evidence",)),
    "a largest score": SelectionRules({"answer": -0.4}, {}, max_scores={"evidence": 0.3}),
    "both bounds of one": SelectionRules({"answer": -0.4, "evidence": -0.6}, {}, max_scores={"answer": 0.6}),
    "where it is measured": SelectionRules({"answer": 0.0}, {}, min_scores_if_measured={"silent": 0.5, "clean": 1.0}),
    "origins": SelectionRules({"answer": 0.0}, {"source": ["a"]}),
    "caps": SelectionRules({"answer": 0.2}, {}, caps={"kind": 5}),
    "balance": SelectionRules({"answer": 0.2}, {}, balance={"kind": 1.0}),
}


def kept_with(lake: duckdb.DuckDBPyConnection, rules: SelectionRules) -> int:
    (_,) = Selection(lake, rules, IN_ONE).decide_ranges()
    return counts(lake).get(None, 0)


def with_value(rules: SelectionRules, name: str, bound: str, at: float) -> SelectionRules:
    """The rules that somebody would write who tries a value."""
    if bound == "max":
        return replace(rules, max_scores={**rules.max_scores, name: at})
    if name in (rules.min_scores_if_measured or {}):
        return replace(rules, min_scores_if_measured={**(rules.min_scores_if_measured or {}), name: at})
    return replace(rules, min_scores={**rules.min_scores, name: at})


@pytest.mark.parametrize("name", ["answer", "evidence", "silent", "clean"])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_each_value_keeps_what_a_selection_with_it_keeps(
    rules: SelectionRules, name: str, lake: duckdb.DuckDBPyConnection
) -> None:
    curve = sweep(Selection(lake, rules, IN_ONE), name)
    assert curve.steps
    assert curve == sweep(Selection(lake, rules, list(ALL.ranges(3))), name)
    for step in curve.steps:
        assert step.kept == kept_with(lake, with_value(rules, name, curve.bound, step.at)), (curve, step)
    if curve.now is not None:
        assert {step.at: step.kept for step in curve.steps}[curve.now] == kept_with(lake, rules)


def test_the_curves_of_several_filters_come_from_one_pass(lake: duckdb.DuckDBPyConnection) -> None:
    selection = Selection(lake, RULES["where it is measured"], IN_ONE)
    names = ["answer", "evidence", "silent", "clean"]
    assert sweeps(selection, names) == [sweep(selection, name) for name in names]


def test_of_many_scores_some_values_are_tried_with_what_the_recipe_says(tmp_path: Path) -> None:
    film, said = video(0)
    tasks = [task(film, nth) for nth in range(200)]
    made = [candidate(each) for each in tasks]
    told = [row for nth, each in enumerate(made) for row in verdicts(each, {"answer": nth / 200})]
    lake = judged(tmp_path, [film, said, *tasks, *made, *told]).connection.cursor()
    curve = sweep(Selection(lake, SelectionRules({"answer": 0.333}, {}), IN_ONE), "answer")
    assert MAX_STEPS <= len(curve.steps) <= MAX_STEPS + 1
    assert curve.steps[0].kept == 200
    assert {step.at: step.kept for step in curve.steps}[0.333] == sum(nth / 200 >= 0.333 for nth in range(200))
    assert [step.kept for step in curve.steps] == sorted((step.kept for step in curve.steps), reverse=True)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:

    def make(folder: Path) -> None:
        chain.demo(folder, chain.DemoSize(6), Console(quiet=True), "dmforge demo")

    return made_once(tmp_path_factory, "select", make) / "workspace"


def test_the_command_shows_a_curve_and_refuses_what_it_cannot_sweep(workspace: Path) -> None:
    def ask(*words: object, code: int = 0) -> str:
        done = CliRunner().invoke(cli.app, ["select", *map(str, words), "-w", str(workspace)])
        assert done.exit_code == code, done.output
        return done.output

    kept = json.loads(ask("cot", "--dry-run", "--json"))["kept"]
    told = json.loads(ask("cot", "--sweep", "window", "--json"))
    assert (told["filter"], told["bound"], told["now"]) == ("window", "min", 1.0)
    assert {step["at"]: step["kept"] for step in told["sweep"]}[1.0] == kept
    assert "window, at least" in ask("cot", "--sweep", "window")
    assert "nothing was measured by 'windov'" in ask("cot", "--sweep", "windov", code=2)
    assert "did you mean" in ask("cot", "--sweep", "windov", code=2)
    assert "two trials" in ask("cot", "--sweep", "window", "--where", "true", code=2)
    assert "makes no corpus" in ask("dog", "--sweep", "window", code=2)
