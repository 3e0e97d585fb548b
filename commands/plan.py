"""Forecasts a run stage by stage: what is pending, what earlier stages should add, and what both will cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dmforge.commands.journal_probe import unanswered
from dmforge.commands.run import view_of_now
from dmforge.curation.contract.budget import ExpectedCost, Usage
from dmforge.curation.contract.collective import Collective, StageCounts
from dmforge.curation.contract.stage import AnyStage, Ask, Root
from dmforge.curation.engine.executors.concurrent_asks import AnyAsk
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lake.worklist import pending_batches
from dmforge.curation.video.media import refuse_other_clips
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.clips import Clips
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.records import Item


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
    blocked_by: str
    """What has to be made by other means first, if anything: a run ends before this stage."""


def plan(workspace: WorkspaceFolder) -> list[Forecast]:
    """Forecast a run, stage by stage. Writes nothing."""
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        view = view_of_now(Lake(workspace), recipe)
        forecasts: list[Forecast] = []
        for stage in recipe.stages:
            clips = getattr(stage.config, "clips", None)
            if isinstance(clips, Clips):  # what a run would be refused for
                refuse_other_clips(workspace, clips)
            tally, expected = view.tally(stage), _expected(view, stage, forecasts)
            if isinstance(stage, Collective) and not tally.pending and _has_growing_tables(stage, recipe.stages, forecasts):
                tally = StageCounts(tally.settled, 0, 0, 0)  # it is done again, whole, once its tables have grown
            read_anew, cost = 0, ExpectedCost(Usage(), 0.0)
            superseded = view.superseded(stage)
            if isinstance(stage, Ask):
                items = _pending_items(view, stage)
                if superseded:  # what was settled before may be answered already
                    read_anew = len(items) - len(items := unanswered(stage, workspace, items))
                cost = _cost(stage, items, expected)
            forecasts.append(Forecast(stage.name, tally, expected, superseded, read_anew, cost, stage.blocked_by()))
        return forecasts


def _pending_items(view: LakeView, stage: AnyAsk) -> list[Item]:
    return [item for batch in pending_batches(view, stage) for item in from_arrow(stage.item, batch.items)]


def _cost(stage: AnyAsk, items: Sequence[Item], more_inputs: int) -> ExpectedCost:
    """The expected cost of inputs, and of `more_inputs` to come at the same average cost."""
    item_count, usage, usd = 0, Usage(), 0.0
    for expected in map(stage.expected, items):
        if expected is not None:
            item_count, usage, usd = item_count + 1, usage + expected.usage, usd + expected.usd
    scale = 1 + more_inputs / item_count if item_count else 1.0
    scaled = (round(number * scale) for number in (usage.calls, usage.input_tokens, usage.output_tokens))
    return ExpectedCost(Usage(*scaled), usd * scale)


def _expected(view: LakeView, stage: AnyStage, forecasts: Sequence[Forecast]) -> int:
    if isinstance(stage, Root):
        return 0
    total = 0.0
    for earlier_stage, forecast in zip(view.stages, forecasts, strict=False):
        coming_inputs = forecast.tally.pending + forecast.expected
        if stage.reads in earlier_stage.makes and coming_inputs:
            total += coming_inputs * view.yield_of(earlier_stage, stage.reads)
    return math.ceil(total)


def _has_growing_tables(stage: Collective[Any, Any], stages: Sequence[AnyStage], forecasts: Sequence[Forecast]) -> bool:
    """Whether earlier stages will add rows to a table that a Collective reads."""
    tables_read = {stage.reads, *stage.also_reads}
    pairs = zip(stages, forecasts, strict=False)
    return any(
        tables_read & set(earlier_stage.makes) and forecast.tally.pending + forecast.expected
        for earlier_stage, forecast in pairs
    )
