"""The report of a workspace: the contents of its lake as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dmforge.commands import audit, compare
from dmforge.commands.standing import readers_view
from dmforge.curation.audit.corpus_checks import corpus_checks
from dmforge.curation.audit.query import ask
from dmforge.curation.audit.thresholds import bounds
from dmforge.curation.engine import run_log
from dmforge.curation.io.atomic import writing
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.database import interruptible
from dmforge.curation.lake.readers_view import ReadersView
from dmforge.curation.output_paths import output_file
from dmforge.curation.packing.current_selection import packed_folders
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.selection.select_cot import SelectCotConfig
from dmforge.filters.selection.selection import MAX_FILTERS, RANGE_COUNTED, Selection, let_through
from dmforge.filters.selection.sweep import sweeps
from dmforge.recipe import Recipe, read_recipe
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Candidate

if TYPE_CHECKING:
    from dmforge.curation.report.figures import SummaryFigure

TABLES = ("cost", "agreement")
"""Named queries whose answers are shown on the page, if they have any rows."""


def write_report(workspace: WorkspaceFolder, file: Path, trainings: Sequence[Path] = (), other: Path | None = None) -> Path:
    """Write the report's page, beside another corpus if one is named; nothing else in the workspace is touched."""
    recipe = read_recipe(workspace.require().recipe)
    require_report_extra()
    output_file(file, "FILE", workspace, inputs=(*trainings, *([other] if other else [])))
    from dmforge.curation.report import cards, figures, page, pictures, sample_cards, training_curves
    from dmforge.curation.report.funnel import FunnelStage, funnel_stages

    curves_of_trainings = [training_curves.training(folder) for folder in trainings]
    there = None if other is None else compare.corpus_tables(other)
    with workspace.reading(), interruptible():
        view = readers_view(Lake(workspace), recipe)
        extra_tables = audit.extra_tables(workspace, recipe)
        funnel = ask(view, "funnel", extra_tables)
        min_scores, check_scores = thresholds(recipe), recipe.checks.min_scores
        kept_min_scores = {
            filter_name: max(scores.get(filter_name, -1.0) for scores in (min_scores, check_scores))
            for filter_name in {*min_scores, *check_scores}
        }
        connection = view.connection.cursor()
        drawn_samples = sample_cards.draw_subjects(connection, recipe.stages)
        verdict = corpus_checks(view, recipe.checks, extra_tables)
        drawn_samples = [*sample_cards.draw_failing(connection, verdict.checks, drawn_samples), *drawn_samples]
        stages = [
            FunnelStage(stage.name, stage.reads.table, tuple(record.table for record in stage.makes)) for stage in recipe.stages
        ]
        report = page.Report(
            title=recipe.name,
            verdict=verdict,
            facts=facts(workspace, recipe, view),
            summary=figures.summary(connection),
            stops=funnel_stages(funnel.rows, stages),
            distributions=figures.distributions(connection),
            other_name=there.name if there else "",
            compared=compare.compared_with(view, recipe.name, there) if there else (),
            scores=figures.scores(connection, min_scores, kept_by_threshold(view, recipe)),
            tables={
                query_name: query_answer for query_name in TABLES if (query_answer := ask(view, query_name, extra_tables)).rows
            },
            trainings=curves_of_trainings,
            cards=cards.cards(connection, drawn_samples, pictures.Pictures(workspace), min_scores, kept_min_scores),
            slips=sample_cards.slips(connection, recipe.stages),
            version=version("dmforge"),
        )
    with writing(file) as page_file:
        page_file.write(page.render(report).encode("utf-8", "backslashreplace"))
    return file


def facts(workspace: WorkspaceFolder, recipe: Recipe, view: ReadersView) -> list[SummaryFigure]:
    """What the page is about: the recipe, the selections that are packed, and the last run with its version."""
    from dmforge.curation.report.figures import SummaryFigure

    named_facts = [SummaryFigure("recipe", recipe.name)]
    if "packed" in view.selects():
        folders = packed_folders(view, workspace)
        named_facts += [SummaryFigure(f"selection of {corpus}", folder.name) for corpus, folder in folders.items()]
    run_records = [run_record for _, run_record in run_log.records(workspace)]
    if run_records:
        last_run = run_records[-1]
        version_of_run = last_run.get("packages", {}).get("dmforge")
        named_facts.append(SummaryFigure("last run", f"{last_run['started'][:16].replace('T', ' ')} UTC, {last_run['state']}"))
        named_facts.append(SummaryFigure("made by", f"dmforge {version_of_run}"))
    return named_facts


def kept_by_threshold(view: ReadersView, recipe: Recipe) -> dict[str, tuple[tuple[float, int], ...]]:
    """For each filter that has measured anything, how many samples of trajectories each value of its threshold would keep."""
    rules = next((stage.config.requirements() for stage in recipe.stages if isinstance(stage.config, SelectCotConfig)), None)
    if rules is None:
        return {}
    connection = view.connection.cursor()
    measured = [row[0] for row in connection.execute("SELECT DISTINCT filter FROM verdicts ORDER BY 1").fetchall()]
    uncapped = replace(rules, caps=None, balance=None)
    selection = Selection(connection, uncapped, view.ranges(Candidate, RANGE_COUNTED), candidates_sql=let_through(view))
    curves = sweeps(selection, measured[: MAX_FILTERS - len(rules.filters)])
    return {curve.filter: tuple((step.at, step.kept) for step in curve.steps) for curve in curves}


def thresholds(recipe: Recipe) -> Mapping[str, float]:
    """The lowest score, by its name, that any selection of the recipe accepts."""
    min_scores: dict[str, float] = {}
    for bound in bounds(recipe.stages):
        if bound.min_score is not None:
            min_scores[bound.filter] = min(bound.min_score, min_scores.get(bound.filter, bound.min_score))
    return min_scores


def require_report_extra() -> None:
    """Refuse to go on where jinja2, which renders the pages, is not installed."""
    if find_spec("jinja2") is None:
        raise InputError("not installed: jinja2", where="report", hint="pip install 'dmforge[report]'")
