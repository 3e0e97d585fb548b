"""What one can ask a workspace: named questions, questions in SQL, and why a row is as it is. Nothing here writes to it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from dmforge.curation import runs
from dmforge.curation.audit import difference, finding, foreign
from dmforge.curation.audit.lineage import Lineage, lineage
from dmforge.curation.audit.naming import Names, by_column
from dmforge.curation.audit.query import Answer, Tables, as_answer, ask_table
from dmforge.curation.audit.receipts import Check, checks
from dmforge.curation.audit.results import Asked
from dmforge.curation.audit.stored import Stored
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.evaluations import evaluations
from dmforge.curation.lake.journal import answers
from dmforge.curation.lake.views import View
from dmforge.curation.workspace import Workspace
from dmforge.pipeline import view_of_now
from dmforge.recipe import STAGES, Recipe, read_recipe, stage_class
from dmforge.schemas.errors import InputError

WITH = "difference"
"""The question that needs another selection."""


def audit(workspace: Workspace, query: str, other: Path | None = None) -> Answer:
    """The answer to a named question."""
    return as_answer(audit_table(workspace, query, other))


def audit_table(workspace: Workspace, query: str, other: Path | None = None) -> pa.Table:
    """The same in Arrow. `other` is a workspace, or a folder of shards, for the question that compares."""
    if (query == WITH) != (other is not None):
        mend = f"dmforge audit {WITH} --with OTHER, a workspace or a folder of shards"
        raise InputError(f"{WITH} compares with another selection, and nothing else does", where="--with", mend=mend)
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        tables = dict(tables_beside(workspace, recipe))
        if other is not None:
            tables["others"] = partial(_others, other)
        return ask_table(view_of_now(Lake(workspace), recipe), query, tables)


def audit_asked(workspace: Workspace, query: str, other: Path | None) -> Asked:
    """The same, to be printed: the columns of named questions are called like what their ids name."""
    return Asked(audit_table(workspace, query, other).to_reader(), by_column)


@contextmanager
def asking(workspace: Workspace, sql: str, limits: foreign.Limits) -> Generator[Asked]:
    """The answer to a question in SQL, over the same tables, as it comes."""
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        view = view_of_now(Lake(workspace), recipe)
        with foreign.query_batches(view, sql, limits, tables_beside(workspace, recipe)) as batches:
            yield Asked(batches, Names(view).of)


def tables_beside(workspace: Workspace, recipe: Recipe) -> Tables:
    """What may be asked beside the recipe's tables: paid answers, evaluations, what models cost, how long stages took."""
    return {
        "answers": partial(answers, workspace),
        "evaluations": partial(evaluations, workspace),
        "prices": partial(_price_table, recipe),
        "run_stages": partial(runs.stages_of_runs, workspace),
    }


def _price_table(recipe: Recipe) -> pa.Table:
    columns = pa.schema([("model", pa.string()), ("input_usd", pa.float64()), ("output_usd", pa.float64())])
    rows = [{"model": model, **price.model_dump(include={"input_usd", "output_usd"})} for model, price in recipe.prices.items()]
    return pa.Table.from_pylist(rows, columns)


def _others(place: Path) -> pa.Table:
    """The samples of another selection."""
    workspace = Workspace(place)
    if not workspace.recipe.is_file():
        return difference.samples_of_shards(place)
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        return difference.samples_of_view(view_of_now(Lake(workspace), recipe))


@dataclass(frozen=True, slots=True)
class Why:
    """A lineage, and, where that was asked for, every receipt on its way."""

    lineage: Lineage
    checks: tuple[Check, ...] | None

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks or ())


def why(workspace: Workspace, text: str, check: bool = False) -> Why:
    """Why a row is as it is: by its id, or by what it begins with."""
    asked = finding.read_id(text)
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        lake = Lake(workspace)
        stored = Stored(lake, View(lake, recipe.stages), lambda name: stage_class(name) if name in STAGES else None)
        found = lineage(stored, finding.find(stored, asked))
        return Why(found, tuple(checks(found, stored)) if check else None)
