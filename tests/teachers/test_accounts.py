"""What asking costs is told before, bounded while, and counted after."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands.standing import readers_view
from dmforge.curation.contract.budget import BUDGET_USED_UP, Budget, Price, Usage
from dmforge.curation.engine.paid_inputs import paid_inputs
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.readers_view import ReadersView
from dmforge.curation.review.pool import ReviewPool
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.errors import Transient
from tests.teachers.billed import CANARY, bill, dmforge, usd

ATTEMPT_USD = 0.012
"""What the two calls of an attempt can cost at most here: with less than that left, none is begun."""


def test_a_budget_is_never_exceeded_and_waits_for_what_is_under_way() -> None:
    account = Budget(1.0)
    most: list[float] = []

    async def call(number: int) -> bool:
        try:
            await account.reserve(0.3)
        except Transient:
            return False
        await asyncio.sleep(0.001 * (number % 5))
        account.settle("annotate", "m", 0.3, Usage(1, 10, 1), 0.1)
        most.append(account.usd)
        return True

    async def many() -> list[bool]:
        return await asyncio.gather(*(call(number) for number in range(20)))

    asked = asyncio.run(many())
    assert 0.7 <= account.usd <= 1.0
    assert sum(asked) == len(most) == account.spent["annotate", "m"].usage.calls
    assert not all(asked)


def test_prices_count_tokens() -> None:
    assert Price(input_usd=2, output_usd=10).usd(Usage(1, 500_000, 100_000)) == 2.0


def recorded_run(place: Path, name: str, inputs: int, calls: int, known: int = 0, **more: Any) -> None:
    """The record of a run that settled inputs of one stage."""
    spent = [{"stage": "annotate", "model": "m", "calls": calls, "input_tokens": 100 * calls, "output_tokens": 10 * calls,
              "usd": 0.01 * calls}] if calls else []  # fmt: skip
    settled = [{"stage": "annotate", "variant": "v", "inputs": inputs, "known_answers": known}]
    content = {"recipe": {"stages": {"annotate": {"prices": {}}}}, "spent": spent, "settled": settled, **more}
    (place / "runs").mkdir(exist_ok=True)
    (place / f"runs/{name}.json").write_text(json.dumps(content))


def test_finished_inputs_tell_what_further_ones_cost(tmp_path: Path) -> None:
    recorded_run(tmp_path, "1", inputs=10, calls=20)
    recorded_run(tmp_path, "2", inputs=10, calls=10, known=10)  # half of its answers were in the journal
    (tmp_path / "runs/0.json").write_text(json.dumps({"spent": [], "stages": []}))  # of an earlier version
    paid = paid_inputs(WorkspaceFolder(tmp_path), {})["annotate", "v"]
    assert paid.cost_of(50).usage == Usage(100, 10_000, 1_000)
    assert paid.cost_of(50).usd == pytest.approx(1.0)
    priced = paid_inputs(WorkspaceFolder(tmp_path), {"m": Price(input_usd=100)})["annotate", "v"]
    assert priced.cost_of(50).usd == pytest.approx(1.0 * 100 * 100 / 1e6 / 0.01)


def test_inputs_that_were_read_again_for_nothing_tell_no_price(tmp_path: Path) -> None:
    recorded_run(tmp_path, "1", inputs=1_000, calls=0, known=2_000)
    assert paid_inputs(WorkspaceFolder(tmp_path), {}) == {}


@pytest.mark.slow
def test_the_plan_is_close_to_the_bill(workspace: Path, oracle: str, tmp_path: Path) -> None:
    planned = dmforge("plan", "-w", workspace, "--json")
    annotate = next(stage for stage in planned["stages"] if stage["name"] == "annotate")
    assert annotate["calls"] == 2 * annotate["pending"]
    done = dmforge("run", "-w", workspace, "--json", "--log", tmp_path / "log.jsonl")
    charged = usd(bill(oracle))
    assert_is_logged(tmp_path / "log.jsonl", done["spent"], charged)
    assert planned["cost"] == pytest.approx(charged, rel=0.1)
    assert done["cost"] == pytest.approx(charged, rel=1e-6)
    records = [json.loads(path.read_text()) for path in (workspace / "runs").glob("*.json")]
    (spent,) = max(records, key=lambda record: record["started"])["spent"]
    assert (spent["stage"], spent["model"]) == ("annotate", "oracle")
    assert spent["usd"] == pytest.approx(charged, rel=1e-6)


def assert_is_logged(log: Path, spent: dict[str, Any], charged: float) -> None:
    """Each request has its line, and the sum at the end is that of the lines."""
    text = log.read_text()
    events = [json.loads(line) for line in text.splitlines()]
    requests = [event for event in events if event["event"] in ("request answered", "request failed")]
    assert sum(event["usd"] for event in requests) == pytest.approx(charged, rel=1e-6)
    assert spent["usd"] == pytest.approx(charged, rel=1e-6)
    assert spent["failures"] == sum(event["event"] == "request failed" for event in requests)
    assert [(stage["name"], stage["calls"]) for stage in spent["stages"]] == [("annotate", len(requests))]
    assert (events[0]["event"], events[-1]["event"], events[-1]["state"]) == ("run began", "run ended", "done")
    assert {event["run"] for event in events} == {events[0]["run"]}
    assert {"stage began", "batch committed", "stage ended"} <= {event["event"] for event in events}
    assert CANARY not in text
    assert not re.search(r"data:image|<think>|You are", text)


@pytest.mark.slow
def test_a_pilot_is_a_corpus_and_prices_the_rest(workspace: Path, oracle: str, tmp_path: Path) -> None:
    """All videos are known, and the first five are worked through: what was made of them is all there."""
    at = ("-w", workspace)
    dmforge("run", "--videos", 5, *at)
    pilot = usd(bill(oracle))
    planned = dmforge("plan", "--json", *at)
    (row,) = dmforge("audit", "cost", "--format", "json", *at, as_json=True)["rows"]
    assert row[-2] > 0.5, "nothing of the pilot counts as kept"
    samples = sum(row[5] for row in dmforge("audit", "corpora", "--format", "json", *at, as_json=True)["rows"])
    assert samples > 0
    funnel = dmforge("audit", "funnel", "--format", "json", *at, as_json=True)["rows"]
    assert ["select_cot", "made", "", samples, samples] in funnel
    assert dmforge("export", "cot", "--to", "hf", "--json", *at)["samples"] == samples
    assert dmforge("select", "cot", "--dry-run", "--json", *at)["kept"] == samples
    current = (workspace / "shards/cot/current").read_text().strip()
    assert dmforge("verify", workspace / "shards/cot/current", "--json")["samples"] == samples
    recipe = workspace / "recipe.toml"
    recipe.write_text(re.sub(r"^answer = 0\.\d+", "answer = 0.0", recipe.read_text(), flags=re.MULTILINE))
    kept = dmforge("select", "cot", "--json", *at)["kept"]
    assert kept >= samples
    assert dmforge("pack", "cot", "--json", *at)["samples"] == kept
    assert ((workspace / "shards/cot/current").read_text().strip() != current) == (kept > samples)
    pool = ReviewPool(*reviewed(workspace))
    assert pool.total == kept
    done = dmforge("run", "--json", *at)
    assert planned["cost"] == pytest.approx(usd(bill(oracle)) - pilot, rel=0.25)
    assert done["spent"]["usd"] == pytest.approx(usd(bill(oracle)) - pilot, rel=1e-6)
    table = CliRunner().invoke(cli.app, ["plan", "-w", str(workspace)]).stdout
    assert table.splitlines()[-1].split() == ["in", "all", "0", "0", "0", "0.00"]


def reviewed(place: Path) -> tuple[WorkspaceFolder, ReadersView, str, int, dict[str, float]]:
    """What a review of a workspace's corpus draws from."""
    workspace = WorkspaceFolder(place)
    return workspace, readers_view(Lake(workspace), read_recipe(workspace.recipe)), "cot", 1_000, {}


@pytest.mark.slow
def test_half_the_money_is_nearly_spent_never_exceeded_and_the_rest_goes_on_later(workspace: Path, oracle: str) -> None:
    budget = dmforge("plan", "-w", workspace, "--json")["cost"] / 2
    told = dmforge("run", "--budget", budget, "-w", workspace, code=1)
    assert BUDGET_USED_UP in told
    assert budget - ATTEMPT_USD <= usd(bill(oracle)) <= budget
    dmforge("run", "-w", workspace)
    answered = bill(oracle)["answered"]
    assert answered == 2 * len((workspace / "inputs/annotations").glob("*").__next__().read_text().splitlines()[1:])


CROSSCHECK = "[stages.crosscheck]\nmodel = 'another'\n"


def test_what_a_later_stage_lacks_is_told_before_the_first_question(
    workspace: Path, oracle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = workspace / "recipe.toml"
    text = recipe.read_text().replace("[stages.human]", f"{CROSSCHECK}[stages.human]")
    recipe.write_text(text)
    told = dmforge("run", "--budget", 1, "-w", workspace, code=2)
    assert "[stages.crosscheck] model = 'another': a budget can't be kept without prices" in told
    monkeypatch.delenv("OPENAI_BASE_URL")
    recipe.write_text(text.replace('model = "oracle"', f'model = "oracle"\nbase_url = "{oracle}"', 1))
    assert "[stages.crosscheck] model = 'another': no endpoint is named" in dmforge("run", "-w", workspace, code=2)
    assert bill(oracle)["answered"] == 0


@pytest.mark.slow
def test_what_is_said_to_be_free_goes_with_a_budget_and_what_is_finished_needs_no_endpoint(
    workspace: Path, oracle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = workspace / "recipe.toml"
    free = re.sub(r"input_usd = 1.0.*\noutput_usd = 4.0", "input_usd = 0.0", recipe.read_text())
    recipe.write_text(free)
    dmforge("run", "--budget", 1, "-w", workspace)
    monkeypatch.delenv("OPENAI_BASE_URL")
    recipe.write_text(free.replace("own_span = 0.05", "own_span = 0.99"))
    dmforge("run", "-w", workspace)


def test_a_budget_without_prices_is_refused(workspace: Path, oracle: str) -> None:
    recipe = workspace / "recipe.toml"
    recipe.write_text(re.sub(r"\[prices.oracle\].*?\n\n", "", recipe.read_text(), flags=re.DOTALL))
    told = dmforge("run", "--budget", 1, "-w", workspace, code=2)
    assert "a budget can't be kept without prices" in told
    assert "hint:" in told
    assert bill(oracle)["answered"] == 0


@pytest.mark.slow
def test_no_trace_of_the_key_is_left(workspace: Path, oracle: str) -> None:
    dmforge("run", "-w", workspace)
    held = [path for path in workspace.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert held == []
    command_lines = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    assert not any(CANARY.encode() in path.read_bytes() for path in command_lines if path.exists())
