"""Forecasts a run stage by stage: what is pending, what earlier stages should add, and what both will cost."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dmforge.commands.box_remarks import box_remarks
from dmforge.commands.journal_probe import unanswered
from dmforge.commands.price_remarks import price_remarks
from dmforge.commands.standing import readers_view, requests_out
from dmforge.curation.contract.budget import ExpectedCost, Usage
from dmforge.curation.contract.collective import Collective, StageCounts
from dmforge.curation.contract.stage import AnyStage, Ask, Gate, Root
from dmforge.curation.engine.executors.concurrent_asks import AnyAsk
from dmforge.curation.engine.paid_inputs import PaidInputs, paid_inputs
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.readers_view import ReadersView
from dmforge.curation.lake.worklist import pending_batches
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import base32
from dmforge.schemas.records import Item, Record


@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast of a run at one stage: its work and its cost."""

    name: str
    tally: StageCounts
    expected: int
    """Inputs that the pending work of earlier stages should add, going by what it gave so far."""
    superseded: int
    read_anew: int
    """Of the pending inputs, those whose answers are all in the journal: they are read anew, and nobody is asked."""
    cost: ExpectedCost
    has_unknown_cost: bool
    """It will ask, and neither its inputs nor what some have cost are known yet."""
    blocked_by: str
    """What has to be made by other means first, if anything: a run ends before this stage."""


def remarks(workspace: WorkspaceFolder) -> list[str]:
    """What the recipe's prices, what is out in batches, and looks with boxes leave to be said of a plan."""
    prices = price_remarks(read_recipe(workspace.require().recipe))
    return [*prices, *requests_out(workspace), *box_remarks(workspace)]


def plan(workspace: WorkspaceFolder) -> list[Forecast]:
    """Forecast a run, stage by stage. Writes nothing."""
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        view = readers_view(Lake(workspace), recipe)
        paid_by_stage, coming_rows = paid_inputs(workspace, recipe.prices), ComingRows(view)
        forecasts: list[Forecast] = []
        for stage in recipe.stages:
            stage.check(workspace)
            stage_counts, expected_inputs = view.tally(stage), coming_rows.inputs_of(stage)
            new_inputs = stage_counts.pending + expected_inputs
            superseded_inputs, read_anew, stage_cost = view.superseded(stage), 0, ExpectedCost(Usage(), 0.0)
            if isinstance(stage, Ask):
                pending_items: Iterable[Item] = _pending_items(view, stage)
                if superseded_inputs and stage.can_do_without_asking:  # what was settled before may be answered already
                    pending_items = unanswered(stage, workspace, pending_items)
                    read_anew = stage_counts.pending - len(pending_items)
                wrong_endpoint = stage.wrong_endpoint() if new_inputs > read_anew else None
                if wrong_endpoint is not None:  # a run would be refused for it, too
                    raise wrong_endpoint
                stage_cost = _cost(
                    stage, pending_items, new_inputs - read_anew, paid_by_stage.get((stage.name, base32(view.variant(stage))))
                )
            is_unknown = isinstance(stage, Ask) and new_inputs > read_anew and not stage_cost.usage.calls
            if isinstance(stage, Collective) and (stage_counts.pending or coming_rows.changes(stage)):
                # it is done again, whole, once its tables have grown
                stage_counts = StageCounts(stage_counts.settled + stage_counts.pending, 0, 0, 0)
            coming_rows.add_made_by(stage, new_inputs)
            forecasts.append(
                Forecast(
                    stage.name,
                    stage_counts,
                    expected_inputs,
                    superseded_inputs,
                    read_anew,
                    stage_cost,
                    is_unknown,
                    stage.blocked_by(),
                )
            )
        return forecasts


class ComingRows:
    """The rows that the work of earlier stages should add to each table, going by what it gave so far."""

    def __init__(self, view: ReadersView) -> None:
        self._view = view
        self._counts: defaultdict[type[Record], float] = defaultdict(float)

    def inputs_of(self, stage: AnyStage) -> int:
        """The further inputs of a stage."""
        return 0 if isinstance(stage, Root) else math.ceil(round(self._counts[stage.reads], 6))

    def changes(self, stage: Collective[Item, Record]) -> bool:
        """Whether rows will be added to a table that a Collective reads."""
        return any(self._counts[record] > 0 for record in (stage.reads, *stage.also_reads))

    def add_made_by(self, stage: AnyStage, input_count: int) -> None:
        """Add what a stage should make from so many inputs; of a gate's inputs, only those that pass are seen later."""
        if not input_count:
            return
        for record in stage.makes:
            self._counts[record] += input_count * self._view.yield_of(stage, record)
        if isinstance(stage, Gate):
            self._counts[stage.reads] = input_count * self._view.passing_share(stage)


def _pending_items(view: ReadersView, stage: AnyAsk) -> Iterator[Item]:
    for batch in pending_batches(view, stage):
        yield from from_arrow(stage.item, batch.items)


def _cost(stage: AnyAsk, items: Iterable[Item], input_count: int, paid: PaidInputs | None) -> ExpectedCost:
    """The expected cost of a stage's inputs: as its finished ones have cost; else as those that are here should."""
    if paid is not None:
        return paid.cost_of(input_count)
    item_count, summed_usage, summed_usd = 0, Usage(), 0.0
    for item_cost in map(stage.expected, items):
        if item_cost is not None:
            item_count, summed_usage, summed_usd = item_count + 1, summed_usage + item_cost.usage, summed_usd + item_cost.usd
    scale = max(1.0, input_count / item_count) if item_count else 1.0
    return ExpectedCost(summed_usage.scaled(scale), summed_usd * scale)
