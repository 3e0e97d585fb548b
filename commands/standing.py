"""Where the stages of a workspace stand: as a run, and as its readers see the lake. Imports no more than that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmforge.commands.readable_recipe import readable_recipe
from dmforge.curation.contract.stage import Root
from dmforge.curation.engine import run_log
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.readers_view import ReadersView
from dmforge.curation.lake.roster import unpublished_roster
from dmforge.curation.lake.views import LakeView
from dmforge.generators.teacher.batch_record import questions_out

if TYPE_CHECKING:
    import pyarrow as pa

    from dmforge.curation.contract.collective import StageCounts
    from dmforge.curation.workspace_folder import WorkspaceFolder
    from dmforge.recipe import Recipe


def view_of_now(lake: Lake, recipe: Recipe) -> LakeView:
    """A view of the lake for the inputs as they are listed now, also where no run has seen that list yet."""
    return LakeView(lake, recipe.stages, scanned_tables=_unpublished_rosters(lake, recipe))


def readers_view(lake: Lake, recipe: Recipe) -> ReadersView:
    """The same for those who only read: of what waits for more videos, they see what a pilot made of the first."""
    return ReadersView(lake, recipe.stages, run_log.pilots(lake.workspace), _unpublished_rosters(lake, recipe))


def _unpublished_rosters(lake: Lake, recipe: Recipe) -> dict[str, pa.Table]:
    roster_by_stage = {stage.name: unpublished_roster(lake, stage) for stage in recipe.stages if isinstance(stage, Root)}
    return {stage_name: roster for stage_name, roster in roster_by_stage.items() if roster is not None}


def status(workspace: WorkspaceFolder) -> dict[str, StageCounts]:
    """The counts of each stage. Writes nothing."""
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        view = view_of_now(Lake(workspace), recipe)
        return {stage.name: view.tally(stage) for stage in recipe.stages}


def requests_out(workspace: WorkspaceFolder) -> list[str]:
    """A line for each model that owes answers: requests to it are out in batches."""
    return [
        f"{len(questions)} requests to {model} are out in batches: a run that asks it with `batch = true` collects them"
        for model, questions in questions_out(workspace).items()
    ]
