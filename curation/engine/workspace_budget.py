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
from dmforge.curation.lake.journal import answered_tokens
from dmforge.curation.lake.partition import Share
from dmforge.curation.workspace_folder import WorkspaceFolder


def spent_in_all_runs(workspace: WorkspaceFolder, prices: Mapping[str, Price]) -> float:
    """What a workspace has spent so far."""
    recorded, answered = Counter[str](), _answered_usd(workspace, prices)
    for _, content in records(workspace):
        for entry in content.get("spent", ()):
            recorded[entry["model"]] += entry["usd"]
    return sum(max(recorded[model], answered[model]) for model in recorded.keys() | answered.keys())


def _answered_usd(workspace: WorkspaceFolder, prices: Mapping[str, Price]) -> Counter[str]:
    """By model, what its answers in the journal cost at these prices, as far as their tokens are known."""
    usd: dict[str, float] = {}
    for (model, is_batched), sums in answered_tokens(workspace).items():
        if model in prices:
            price = prices[model].in_batch() if is_batched else prices[model]
            usd[model] = usd.get(model, 0.0) + price.usd(Usage(0, *(sums[name] for name in COUNTS)))
    return Counter(usd)


def allowance(workspace: WorkspaceFolder, prices: Mapping[str, Price], budget_usd: float, share: Share) -> Allowance:
    """What a budget for all runs leaves to the run that begins, or to one of several ranks."""
    spent_usd = spent_in_all_runs(workspace, prices)
    left_usd = budget_usd - spent_usd
    if share.of > 1:
        left_usd = min(left_usd, _part_of_rank(workspace, budget_usd, spent_usd, share))
    return Allowance(budget_usd, spent_usd, max(0.0, left_usd), share.rank, share.of)


def _part_of_rank(workspace: WorkspaceFolder, budget_usd: float, spent_usd: float, share: Share) -> float:
    """What is left of a rank's part of the budget.

    Ranks begin at different times, so each takes its part of what was left before the first of them spent anything, less what
    it has spent itself since: together they never spend more than that, however often each is killed and begun again.
    """
    contents = list(itertools.takewhile(lambda content: _has_share_of(content, share.of), _latest_that_spent(workspace)))
    before_usd = contents[-1]["allowance"]["spent_before_usd"] if contents else spent_usd
    recorded_usd = sum(content["cost_usd"] for content in contents)
    own_usd = sum(content["cost_usd"] for content in contents if content["allowance"]["rank"] == share.rank)
    unrecorded_usd = max(0.0, spent_usd - before_usd - recorded_usd)  # perhaps this rank's
    return (budget_usd - before_usd) / share.of - own_usd - unrecorded_usd


def _latest_that_spent(workspace: WorkspaceFolder) -> list[dict[str, Any]]:
    """The records of runs that spent anything, or may be about to, the latest first."""
    contents = [content for _, content in records(workspace)]
    return [content for content in reversed(contents) if content.get("cost_usd") or content.get("allowance")]


def _has_share_of(content: Mapping[str, Any], ranks: int) -> bool:
    return bool(content.get("allowance")) and content["allowance"]["ranks"] == ranks
