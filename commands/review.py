"""Starts a review: one person looks at samples of a corpus in a browser, and each decision is saved at once."""

from __future__ import annotations

from collections.abc import Callable

from dmforge.commands.report import require_report_extra, thresholds
from dmforge.commands.select import stage_of
from dmforge.commands.standing import readers_view
from dmforge.curation.lake.commits import Lake
from dmforge.curation.sources.reviews import checked_name
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.human import Human
from dmforge.recipe import Recipe, read_recipe
from dmforge.schemas.errors import InputError


def review(
    workspace: WorkspaceFolder, corpus: str, max_samples: int, reviewer: str, port: int, announce: Callable[[str], None]
) -> None:
    """Serve a review until Ctrl-C. The address is announced once it can be opened."""
    checked_name(reviewer, "--as")
    recipe = read_recipe(workspace.require().recipe)
    require_report_extra()
    stage_of(recipe, corpus)
    require_human_stage(workspace, recipe)
    from dmforge.curation.local_pages import loopback
    from dmforge.curation.review.pool import ReviewPool
    from dmforge.curation.review.review_server import ReviewServer

    with workspace.reading():
        pool = ReviewPool(workspace, readers_view(Lake(workspace), recipe), corpus, max_samples, thresholds(recipe))
    title = f"{corpus}, {recipe.name}"
    loopback.serve(loopback.listen(port), lambda guard: ReviewServer(workspace, pool, reviewer, title, guard).app, announce)


def require_human_stage(workspace: WorkspaceFolder, recipe: Recipe) -> None:
    """Refuse to take decisions that no stage would read."""
    if Human.name not in [stage.name for stage in recipe.stages]:
        hint = "add a line [stages.human] before the stages that select, and to those a threshold for human"
        raise InputError("the recipe has no stage that reads reviews: 'human'", where=str(workspace.recipe), hint=hint)
