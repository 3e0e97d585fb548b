"""The report of a workspace: what its lake holds, as one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from dmforge import auditing
from dmforge.curation.atomic import writing
from dmforge.curation.audit.query import ask
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import interruptible
from dmforge.curation.outputs import output_file
from dmforge.curation.workspace import Workspace
from dmforge.pipeline import view_of_now
from dmforge.recipe import Recipe, read_recipe
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Sample

TABLES = ("cost", "agreement")
"""Named queries whose answers stand on the page, if they have any."""


def write_report(workspace: Workspace, file: Path, trainings: Sequence[Path] = ()) -> Path:
    """Write the page; nothing else in the workspace is touched."""
    recipe = read_recipe(workspace.require().recipe)
    require_report_extra()
    output_file(file, "--html", workspace)
    from dmforge.curation.audit.report import cards, curves, draw, figures, flow, page, pictures

    logs = [curves.training(place) for place in trainings]
    with workspace.reading(), interruptible():
        view = view_of_now(Lake(workspace), recipe)
        beside = auditing.tables_beside(workspace, recipe)
        funnel = ask(view, "funnel", beside)
        least = thresholds(recipe)
        connection = view.connection.cursor()
        chosen = draw.draw_subjects(connection, recipe.stages)
        stops = [flow.Stop(one.name, one.reads.table, tuple(made.table for made in one.makes)) for one in recipe.stages]
        report = page.Report(
            title=recipe.name,
            summary=figures.summary(connection),
            stops=flow.stops(funnel.rows, stops),
            distributions=figures.distributions(connection),
            scores=figures.scores(connection, least),
            tables={name: answer for name in TABLES if (answer := ask(view, name, beside)).rows},
            trainings=logs,
            cards=cards.cards(connection, chosen, pictures.Pictures(workspace), least),
            slips=draw.slips(connection, recipe.stages),
            version=version("dmforge"),
        )
    with writing(file) as out:
        out.write(page.render(report).encode("utf-8", "backslashreplace"))
    return file


def thresholds(recipe: Recipe) -> Mapping[str, float]:
    """What selections ask of scores: the least that any corpus takes."""
    found: dict[str, float] = {}
    for stage in recipe.stages:
        if Sample in stage.makes:
            told = stage.config.model_dump()
            for name, least in {**told.get("least_if_measured", {}), **told.get("least", {})}.items():
                found[name] = min(least, found.get(name, least))
    return found


def require_report_extra() -> None:
    """Pages are made from templates."""
    if find_spec("jinja2") is None:
        raise InputError("not installed: jinja2", where="report", mend="pip install 'dmforge[report]'")
