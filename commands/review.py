"""Starts a review: one person looks at samples of a corpus in a browser, and each decision is saved at once."""

from __future__ import annotations

from collections.abc import Callable

from dmforge.commands.report import require_report_extra, thresholds
from dmforge.commands.select import stage_of
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.reviews import checked_name
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.human import Human
from dmforge.recipe import read_recipe
from dmforge.schemas.errors import InputError


def review(
    workspace: WorkspaceFolder, corpus: str, max_samples: int, reviewer: str, port: int, announce: Callable[[str], None]
) -> None:
    """Serve a review until Ctrl-C. The address is announced once it can be opened."""
    checked_name(reviewer, "--as")
    recipe = read_recipe(workspace.require().recipe)
    require_report_extra()
    stage_of(recipe, corpus)
    if Human.name not in [stage.name for stage in recipe.stages]:
        hint = "add a line [stages.human] before the stages that select, and to those a threshold for human"
        raise InputError("the recipe has no stage that reads reviews: 'human'", where=str(workspace.recipe), hint=hint)
    from dmforge.curation.review import review_server
    from dmforge.curation.review.pool import ReviewPool

    with workspace.reading():
        pool = ReviewPool(workspace, LakeView(Lake(workspace), recipe.stages), corpus, max_samples, thresholds(recipe))
    page_title = f"{corpus}, {recipe.name}"
    review_server.serve(
        review_server.listen(port),
        lambda guard: review_server.ReviewServer(workspace, pool, reviewer, page_title, guard).app,
        announce,
    )
