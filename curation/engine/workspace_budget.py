"""What a workspace has spent in all its runs, and what a budget leaves of it to the run that begins.

The records of runs say what was spent. Where a run was killed between two writes of its record, or a record is missing, the
answers in the journal tell what they cost: by model the larger of both sums counts.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

from dmforge.curation.contract.budget import COUNTS, Allowance, Price, Usage
from dmforge.curation.engine.run_log import records
from dmforge.curation.lake.journal_table import answered_tokens
from dmforge.curation.lake.partition import Share
from dmforge.curation.workspace_folder import WorkspaceFolder


def spent_in_all_runs(workspace: WorkspaceFolder, prices: Mapping[str, Price]) -> float:
    """What a workspace has spent so far."""
    recorded_usd, answered_usd = Counter[str](), _answered_usd(workspace, prices)
    for _, run_record in records(workspace):
        for spent_entry in run_record.get("spent", ()):
            recorded_usd[spent_entry["model"]] += spent_entry["usd"]
    return sum(max(recorded_usd[model], answered_usd[model]) for model in recorded_usd.keys() | answered_usd.keys())


def _answered_usd(workspace: WorkspaceFolder, prices: Mapping[str, Price]) -> Counter[str]:
    """By model, what its answers in the journal cost at these prices, as far as their tokens are known."""
    usd_by_model: dict[str, float] = {}
    for (model, is_batched), token_sums in answered_tokens(workspace).items():
        if model in prices:
            model_price = prices[model].in_batch() if is_batched else prices[model]
            usd_by_model[model] = usd_by_model.get(model, 0.0) + model_price.usd(
                Usage(0, *(token_sums[count_name] for count_name in COUNTS))
            )
    return Counter(usd_by_model)


def allowance(workspace: WorkspaceFolder, prices: Mapping[str, Price], budget_usd: float, share: Share) -> Allowance:
    """What a budget for all runs leaves to the run that begins, or to one of several ranks."""
    spent_usd = spent_in_all_runs(workspace, prices)
    remaining_usd = budget_usd - spent_usd
    if share.of > 1:
        remaining_usd = min(remaining_usd, _part_of_rank(workspace, budget_usd, spent_usd, share))
    return Allowance(budget_usd, spent_usd, max(0.0, remaining_usd), share.rank, share.of)


def _part_of_rank(workspace: WorkspaceFolder, budget_usd: float, spent_usd: float, share: Share) -> float:
    """What is left of a rank's part of the budget.

    Ranks begin at different times, so each takes its part of what was left before the first of them spent anything, less what
    it has spent itself since: together they never spend more than that, however often each is killed and begun again.
    """
    run_records = list(
        itertools.takewhile(lambda run_record: _has_share_of(run_record, share.of), _latest_that_spent(workspace))
    )
    before_usd = run_records[-1]["allowance"]["spent_before_usd"] if run_records else spent_usd
    recorded_usd = sum(run_record["cost_usd"] for run_record in run_records)
    rank_usd = sum(run_record["cost_usd"] for run_record in run_records if run_record["allowance"]["rank"] == share.rank)
    unrecorded_usd = max(0.0, spent_usd - before_usd - recorded_usd)  # perhaps this rank's
    return (budget_usd - before_usd) / share.of - rank_usd - unrecorded_usd


def _latest_that_spent(workspace: WorkspaceFolder) -> list[dict[str, Any]]:
    """The records of runs that spent anything, or may be about to, the latest first."""
    run_records = [run_record for _, run_record in records(workspace)]
    return [run_record for run_record in reversed(run_records) if run_record.get("cost_usd") or run_record.get("allowance")]


def _has_share_of(run_record: Mapping[str, Any], rank_count: int) -> bool:
    return bool(run_record.get("allowance")) and run_record["allowance"]["ranks"] == rank_count
