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

    def cost_of(self, input_count: int) -> ExpectedCost:
        """What so many further inputs should cost, none of whose answers is known."""
        scale = input_count / self.inputs * (self.usage.calls + self.known_answers) / self.usage.calls
        return ExpectedCost(self.usage.scaled(scale), self.usd * scale)


def paid_inputs(workspace: WorkspaceFolder, prices: Mapping[str, Price]) -> dict[tuple[str, str], PaidInputs]:
    """By stage and variant, as far as some were asked about and finished.

    Calls about inputs that a run didn't finish count, too, above all of one that was killed: too much is planned, not too
    little.
    """
    totals_by_stage: dict[tuple[str, str], PaidInputs] = {}
    for _, run_record in records(workspace):
        for settled_row in run_record.get("settled", ()):
            stage_name = settled_row["stage"]
            spent_entries = [spent_entry for spent_entry in run_record["spent"] if spent_entry["stage"] == stage_name]
            spent_usage = sum(
                (
                    Usage(spent_entry["calls"], spent_entry["input_tokens"], spent_entry["output_tokens"])
                    for spent_entry in spent_entries
                ),
                NOTHING,
            )
            used_prices = run_record["recipe"]["stages"].get(stage_name, {}).get("prices", {})
            is_batched = run_record["recipe"]["stages"].get(stage_name, {}).get("batch", False)
            spent_usd = sum(
                _usd_now(spent_entry, used_prices.get(spent_entry["model"]), prices.get(spent_entry["model"]), is_batched)
                for spent_entry in spent_entries
            )
            stage_and_variant = stage_name, settled_row["variant"]
            totals_by_stage[stage_and_variant] = totals_by_stage.get(stage_and_variant, PaidInputs()) + PaidInputs(
                settled_row["inputs"], spent_usage, spent_usd, settled_row["known_answers"]
            )
    return {key: stage_total for key, stage_total in totals_by_stage.items() if stage_total.inputs and stage_total.usage.calls}


def _usd_now(
    spent_entry: Mapping[str, Any], recorded_price: Mapping[str, Any] | None, price: Price | None, is_batched: bool
) -> float:
    """What was paid; where the recipe has another price by now, what it would be."""
    if price is None or (recorded_price is not None and price == Price.model_validate(recorded_price)):
        return spent_entry["usd"]
    return (price.in_batch() if is_batched else price).usd(
        Usage(spent_entry["calls"], spent_entry["input_tokens"], spent_entry["output_tokens"])
    )
