"""Whose a budget is, what it leaves to a run that goes on, and that it finishes what it begins."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands.price_remarks import price_remarks
from dmforge.curation.contract.budget import BUDGET_USED_UP, Budget, Price, print_amount
from dmforge.curation.contract.stage import Ask
from dmforge.curation.engine.executors.concurrent_asks import ask
from dmforge.curation.engine.workspace_budget import allowance, spent_in_all_runs
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.lake.partition import ALL, Share
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lake.worklist import pending_batches
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import RECIPES, read_recipe
from dmforge.schemas.ids import digest
from tests.teachers.billed import bill, dmforge, usd


def latest_record(workspace: Path) -> dict[str, Any]:
    return json.loads(max((workspace / "runs").glob("*.json")).read_text())


UNDER_WAY_USD = 8 * 0.0012
"""What a server may charge for eight calls whose answers a killed run never saw."""


@pytest.mark.slow
def test_a_killed_run_says_what_it_had_spent_and_the_same_command_spends_its_budget_once(workspace: Path, oracle: str) -> None:
    """Also when the records of runs are gone."""
    recipe = workspace / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("batch_items = 16", "batch_items = 4"))
    planned = dmforge("plan", "-w", workspace, "--json")["cost"]
    again = "run", "--until", "annotate", "-w", workspace, "--budget", planned / 2
    killed = subprocess.run([sys.executable, "-m", "tests.teachers.killed_run", str(workspace), "40"])
    assert killed.returncode == -signal.SIGKILL
    record, charged = latest_record(workspace), usd(bill(oracle))
    (spent,), settled = record["spent"], {row["stage"]: row["inputs"] for row in record["settled"]}
    assert (record["state"], record["ended"], spent["calls"] >= 39) == ("running", None, True)
    assert 0 < record["cost_usd"] <= charged <= record["cost_usd"] + UNDER_WAY_USD
    assert dmforge("status", "-w", workspace, "--json")["cost"] == record["cost_usd"]
    assert settled["annotate"] > 0
    assert dmforge("plan", "-w", workspace, "--json")["cost"] >= 0.9 * (planned - charged)
    opening = f"budget: ${print_amount(planned / 2)}, spent before: ${print_amount(record['cost_usd'])}"
    stderr = dmforge(*again, code=1)
    charged = usd(bill(oracle))
    assert charged <= planned / 2 + UNDER_WAY_USD
    assert opening in stderr
    assert BUDGET_USED_UP in stderr
    assert re.search(r"budget: used up, \$0\.0\d+ of \$0\.0\d+ spent: the next question could cost more", stderr)
    for path in (workspace / "runs").glob("*.json"):
        path.unlink()
    dmforge(*again, code=1)
    assert usd(bill(oracle)) <= planned / 2 + UNDER_WAY_USD
    charged = usd(bill(oracle))
    assert "budget: $0.0150 for this run alone" in dmforge(*again[:-1], 0.015, "--per-run", code=1)
    assert usd(bill(oracle)) > charged


def test_a_budget_of_no_size_is_nobodys(workspace: Path) -> None:
    assert "--per-run: there is no budget" in dmforge("run", "-w", workspace, "--per-run", code=2)


def recorded(place: Path, name: str, usd: float, **allowed: Any) -> None:
    """The record of a run that spent so much, of this allowance."""
    content = {"cost_usd": usd, "spent": [{"stage": "annotate", "model": "m", "usd": usd}], "allowance": allowed or None}
    (place / "runs").mkdir(exist_ok=True)
    (place / f"runs/{name}.json").write_text(json.dumps(content))


def test_ranks_share_what_was_left_however_often_each_begins_again(tmp_path: Path) -> None:
    """One of two has spent its half and was killed, the other one is still at work on its own."""

    def left(share: Share, budget: float = 10.0) -> float:
        return allowance(WorkspaceFolder(tmp_path), {"m": Price()}, budget, share).usd

    recorded(tmp_path, "1", 2.0)
    assert (left(ALL), left(Share(0, 2)), left(Share(1, 2))) == (8.0, 4.0, 4.0)
    recorded(tmp_path, "2", 4.0, spent_before_usd=2.0, rank=0, ranks=2)
    recorded(tmp_path, "3", 1.0, spent_before_usd=2.0, rank=1, ranks=2)
    assert (left(Share(0, 2)), left(Share(1, 2))) == (0.0, 3.0)
    assert left(Share(1, 2), 4.0) == 0.0
    assert left(ALL) == left(Share(0, 3)) * 3 == 3.0


def test_what_records_lack_the_journal_tells(tmp_path: Path) -> None:
    """By model the larger sum counts: of one the record was lost, of another one the journal doesn't say what failed."""
    workspace = WorkspaceFolder(tmp_path)

    async def answer(model: str) -> None:
        journal = Journal(workspace, model)
        for usage in ({"prompt_tokens": 10_000, "completion_tokens": 1_000}, {}):
            await journal.answer(digest("question", repr(usage)), digest("video", "v"), partial(one_answer, usage), 64)
        journal.close()

    async def one_answer(usage: dict[str, int]) -> Answer:
        return {"content": "", "usage": usage}

    asyncio.run(answer("m"))
    asyncio.run(answer("another"))
    recorded(tmp_path, "1", 2.0)
    prices = {"m": Price(input_usd=10.0), "another": Price(input_usd=10.0, output_usd=100.0)}
    assert spent_in_all_runs(workspace, prices) == pytest.approx(2.0 + 0.1 + 0.1)
    assert spent_in_all_runs(workspace, {}) == 2.0


def replies(workspace: Path) -> Counter[str]:
    """How many looks and how many answers the journal has."""
    lines = [json.loads(line) for path in (workspace / "journal").glob("*/*.jsonl") for line in path.open()]
    return Counter("look" if "fps" in json.loads(line["answer"]["content"]) else "answer" for line in lines)


def test_a_look_that_is_paid_for_gets_its_answer(workspace: Path, oracle: str) -> None:
    """Whatever the budget: nothing is begun that can't be finished. A later run pays for nothing twice, and for what the
    journal has it needs no budget."""
    folder = WorkspaceFolder(workspace)
    stages = read_recipe(folder.recipe).stages
    (annotate,) = [stage for stage in stages if isinstance(stage, Ask)]
    first_videos = LakeView(Lake(folder), stages).last_of_first(6)
    view, spent = LakeView(Lake(folder), stages, last_video=first_videos), 0.0
    for budget in (0.004, 0.0125, 0.0, 0.015):
        annotate.account = Budget(budget)
        batches = list(ask(annotate, folder, pending_batches(view, annotate), lambda _: None))
        spent += annotate.account.usd
        counts = replies(workspace)
        assert counts["look"] == counts["answer"]
        assert annotate.account.usd <= budget
        assert annotate.account.is_used_up
        assert {item.reason for batch in batches for item in batch.deferred} == {BUDGET_USED_UP}
        deferred = sum(len(batch.deferred) for batch in batches)
    assert counts["look"] == view.tally(annotate).pending - deferred > 3
    assert usd(bill(oracle)) == pytest.approx(spent)


def test_a_price_that_is_nobodys_and_a_model_without_one_are_said(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    recipe = workspace / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("[prices.oracle]", "[prices.oracel]"))
    unpriced = '"oracle" has no price, so what it is asked by annotate counts as $0.00: write down [prices."oracle"]'
    planned = dmforge("plan", "-w", workspace, "--json")
    assert planned["remarks"][0].startswith(unpriced)
    assert planned["remarks"][1:] == ["""[prices."oracel"] is of a model that no stage asks: did you mean 'oracle'?"""]
    assert CliRunner().invoke(cli.app, ["plan", "-w", str(workspace)]).stdout.count("oracel") == 1
    assert unpriced in dmforge("run", "-w", workspace, code=2)


def test_the_recipes_that_come_with_it_price_whom_they_ask() -> None:
    assert [remark for path in RECIPES.glob("*.toml") for remark in price_remarks(read_recipe(path))] == []
