"""A pilot against a provider with a habit, the plan of the rest, and what the rest then costs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dmforge.api import workspace as api
from dmforge.generators.teacher.teacher_config import URL
from tests.support.provider import serving


@dataclass(frozen=True, slots=True)
class PlannedRest:
    """What was planned for the rest of a run, and what was spent on it."""

    pilot_usd: float
    planned_usd: float
    spent_usd: float
    planned_by_stage: Mapping[str, float]
    spent_by_stage: Mapping[str, float]

    @property
    def ratio(self) -> float:
        return self.planned_usd / self.spent_usd


def rest_of(folder: Path, habit: str, pilot_videos: int, until: str | None = None) -> PlannedRest:
    """Run a pilot against a provider with a habit, plan the rest, and run it."""
    workspace = api.Workspace(folder)
    with serving(habit) as (url, _):
        os.environ[URL] = url
        pilot = workspace.run(videos=pilot_videos, until=until, progress=False)
        plan = workspace.plan()
        rest = workspace.run(until=until, progress=False)
    assert pilot.spent is not None
    assert rest.spent is not None
    pending = [(stage.name, stage.deferred) for done in (pilot, rest) for stage in done.stages if stage.deferred]
    assert not pending, f"{folder.name} is unfinished: {pending}"
    return PlannedRest(
        pilot.spent.total.usd,
        plan.cost,
        rest.spent.total.usd,
        {forecast.name: forecast.cost.usd for forecast in plan.stages if forecast.cost.usd},
        {name: totals.usd for name, totals in rest.spent.stages.items()},
    )
