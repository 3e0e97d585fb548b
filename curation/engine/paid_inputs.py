"""What the finished inputs of each stage have cost, by the records of runs: what a plan takes further inputs to cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dmforge.curation.contract.budget import ExpectedCost, Price, Usage
from dmforge.curation.engine.run_log import records
from dmforge.curation.workspace_folder import WorkspaceFolder

NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class PaidInputs:
    """Finished inputs of a stage, and what they cost."""

    inputs: int = 0
    usage: Usage = NOTHING
    usd: float = 0.0
    known_answers: int = 0
    """Answers that the journal had: such an input cost less than another will."""

    def __add__(self, other: PaidInputs) -> PaidInputs:
        return PaidInputs(
            self.inputs + other.inputs,
            self.usage + other.usage,
            self.usd + other.usd,
            self.known_answers + other.known_answers,
        )

    def cost_of(self, inputs: int) -> ExpectedCost:
        """What so many further inputs should cost, none of whose answers is known."""
        scale = inputs / self.inputs * (self.usage.calls + self.known_answers) / self.usage.calls
        return ExpectedCost(self.usage.scaled(scale), self.usd * scale)


def paid_inputs(workspace: WorkspaceFolder, prices: Mapping[str, Price]) -> dict[tuple[str, str], PaidInputs]:
    """By stage and variant, as far as some were asked about and finished.

    Calls about inputs that a run didn't finish count, too, above all of one that was killed: too much is planned, not too
    little.
    """
    totals: dict[tuple[str, str], PaidInputs] = {}
    for _, content in records(workspace):
        for row in content.get("settled", ()):
            stage = row["stage"]
            entries = [entry for entry in content["spent"] if entry["stage"] == stage]
            usage = sum((Usage(entry["calls"], entry["input_tokens"], entry["output_tokens"]) for entry in entries), NOTHING)
            used_prices = content["recipe"]["stages"].get(stage, {}).get("prices", {})
            is_batched = content["recipe"]["stages"].get(stage, {}).get("batch", False)
            usd = sum(
                _usd_now(entry, used_prices.get(entry["model"]), prices.get(entry["model"]), is_batched) for entry in entries
            )
            key = stage, row["variant"]
            totals[key] = totals.get(key, PaidInputs()) + PaidInputs(row["inputs"], usage, usd, row["known_answers"])
    return {key: total for key, total in totals.items() if total.inputs and total.usage.calls}


def _usd_now(entry: Mapping[str, Any], price_then: Mapping[str, Any] | None, price: Price | None, is_batched: bool) -> float:
    """What was paid; where the recipe has another price by now, what it would be."""
    if price is None or (price_then is not None and price == Price.model_validate(price_then)):
        return entry["usd"]
    return (price.in_batch() if is_batched else price).usd(Usage(entry["calls"], entry["input_tokens"], entry["output_tokens"]))
