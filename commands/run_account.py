"""The account of a run: what a budget leaves to it, and what is said of money when it begins and when that is used up."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

from dmforge.commands.price_remarks import unpriced
from dmforge.curation.contract.budget import Budget, print_amount
from dmforge.curation.contract.run_events import RunEvents
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine.workspace_budget import allowance
from dmforge.curation.lake.journal_table import keep_columns
from dmforge.curation.lake.partition import ALL, Share
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import Recipe
from dmforge.schemas.errors import InputError
from dmforge.schemas.visible import escaped_in_line


@dataclass(frozen=True, slots=True)
class SpendingLimits:
    """What may be spent on teachers, and on what."""

    budget_usd: float | None = None
    per_run: bool = False
    """It bounds this run alone, not all that the workspace has spent."""
    keep_going: bool = False
    """Ask on, though none of a teacher's first replies could be read."""

    asks_nobody: bool = False
    """A repair: what the journal has no answer to stays pending."""

    def __post_init__(self) -> None:
        if self.per_run and self.budget_usd is None:
            hint = "give one: --budget 5 --per-run"
            raise InputError("there is no budget that could be for this run alone", where="--per-run", hint=hint)


NO_LIMITS = SpendingLimits()
WHAT_TO_TYPE = (
    "the next question could cost more than is left; `dmforge plan` says what all the rest should: "
    "run again with a larger --budget"
)


@contextmanager
def run_account(
    workspace: WorkspaceFolder,
    recipe: Recipe,
    stages: Sequence[AnyStage],
    console: Console,
    limits: SpendingLimits,
    events: RunEvents | None,
    share: Share = ALL,
) -> Generator[Budget]:
    """An account for some stages of a recipe. Only whoever holds the workspace knows what was spent before."""
    for price_remark in () if limits.asks_nobody else unpriced(stages):
        _say(console, price_remark)
    account = _account(workspace, recipe, limits, events, share)
    account.asks_nobody = limits.asks_nobody
    if limits.budget_usd is not None:
        _say(console, f"budget: ${print_amount(limits.budget_usd)}{_spent_before(account)}{_part_of_rank(account, share)}")
    try:
        yield account
    finally:
        if account.spent:
            keep_columns(workspace)
        if account.is_used_up:
            _say(console, f"budget: used up, {_spent_of(account, share)}: {WHAT_TO_TYPE}")


def _account(
    workspace: WorkspaceFolder, recipe: Recipe, limits: SpendingLimits, events: RunEvents | None, share: Share
) -> Budget:
    if limits.budget_usd is None or limits.per_run:
        part_usd = None if limits.budget_usd is None else limits.budget_usd / share.of
        return Budget(part_usd, events, keep_going=limits.keep_going)
    run_allowance = allowance(workspace, recipe.prices, limits.budget_usd, share)
    return Budget(run_allowance.usd, events, keep_going=limits.keep_going, allowance=run_allowance)


def _spent_before(account: Budget) -> str:
    if account.allowance is None:
        return " for this run alone"
    return f", spent before: ${print_amount(account.allowance.spent_before_usd)}"


def _part_of_rank(account: Budget, share: Share) -> str:
    return f"; this rank may spend ${print_amount(account.budget_usd or 0.0)}" if share.of > 1 else ""


def _spent_of(account: Budget, share: Share) -> str:
    """What was spent, and of how much: by the workspace, by this run, or by this rank."""
    if account.allowance is None or share.of > 1:
        spender_noun = "this rank" if share.of > 1 else "this run"
        return f"{spender_noun} spent ${print_amount(account.usd)} of ${print_amount(account.budget_usd or 0.0)}"
    spent_usd = account.allowance.spent_before_usd + account.usd
    return f"${print_amount(spent_usd)} of ${print_amount(account.allowance.budget_usd)} spent"


def _say(console: Console, text: str) -> None:
    console.print(escaped_in_line(text), markup=False, highlight=False)
