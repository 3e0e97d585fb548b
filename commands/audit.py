"""Read-only questions to a workspace: named queries, SQL, and the lineage of a row."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from dmforge.commands.readable_recipe import readable_recipe
from dmforge.commands.run import readers_view
from dmforge.curation import output_paths
from dmforge.curation.audit import difference, id_lookup, lineage_text, output, sql_sandbox
from dmforge.curation.audit.lineage import Lineage, lineage
from dmforge.curation.audit.output import StreamedResult
from dmforge.curation.audit.printed_ids import PrintedIds, by_column
from dmforge.curation.audit.query import QueryResult, Tables, as_answer, ask_table
from dmforge.curation.audit.receipts import ReceiptCheck, checks
from dmforge.curation.audit.stored_rows import StoredRows
from dmforge.curation.engine import run_log
from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.evaluations import evaluations
from dmforge.curation.lake.journal import answers
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import Recipe, find_stage_class
from dmforge.schemas.errors import InputError

COMPARING_QUERY = "difference"
"""The named query that compares with another selection."""


def audit(workspace: WorkspaceFolder, query: str, other: Path | None = None) -> QueryResult:
    """The answer to a named query."""
    return as_answer(audit_table(workspace, query, other))


def audit_table(workspace: WorkspaceFolder, query: str, other: Path | None = None) -> pa.Table:
    """The answer to a named query as an Arrow table; `other` is the workspace or folder of shards to compare with."""
    if (query == COMPARING_QUERY) != (other is not None):
        hint = f"dmforge audit {COMPARING_QUERY} --with OTHER, a workspace or a folder of shards"
        raise InputError(f"{COMPARING_QUERY} compares with another selection, and nothing else does", where="--with", hint=hint)
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        tables = dict(extra_tables(workspace, recipe))
        if other is not None:
            tables["others"] = partial(_other_samples, other)
        return ask_table(readers_view(Lake(workspace), recipe), query, tables)


class Funnel(QueryResult):
    """What became of the inputs of each stage."""

    def blocks(self) -> Iterator[Block]:
        """The funnel, with each stage's name only once."""
        rows, last_stage = list[list[object]](), ""
        for stage, status, reason, inputs, made in self.rows:
            rows.append(["" if stage == last_stage else stage, status, reason, inputs, "" if made is None else made])
            last_stage = stage
        yield TextTable(self.columns, rows)


def named_answer(name: str, answer: QueryResult) -> QueryResult:
    """The answer to a named query as it is printed."""
    return Funnel(answer.columns, answer.rows) if name == "funnel" else answer


def write_answer(
    workspace: WorkspaceFolder, answer_context: AbstractContextManager[output.StreamedResult], file: Path, form: output.Format
) -> int:
    """Write an answer into a file outside the workspace's own folders; how many rows it has."""
    output_paths.output_file(file, "--out", workspace)
    return output.write_from(answer_context, file, form)


def audit_reader(workspace: WorkspaceFolder, query: str, other: Path | None) -> StreamedResult:
    """The answer to a named query as a reader, for printing: ids are named by their columns."""
    return StreamedResult(audit_table(workspace, query, other).to_reader(), by_column)


@contextmanager
def ask_sql(workspace: WorkspaceFolder, sql: str, limits: sql_sandbox.SqlLimits) -> Generator[StreamedResult]:
    """Run an SQL query over the same tables; the answer is streamed."""
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        view = readers_view(Lake(workspace), recipe)
        with sql_sandbox.query_batches(view, sql, limits, extra_tables(workspace, recipe)) as batches:
            yield StreamedResult(batches, PrintedIds(view).of)


def extra_tables(workspace: WorkspaceFolder, recipe: Recipe) -> Tables:
    """Tables besides those of the recipe: paid answers, evaluations, prices of models, durations of stages."""
    return {
        "answers": partial(answers, workspace),
        "evaluations": partial(evaluations, workspace),
        "prices": partial(_price_table, recipe),
        "run_stages": partial(run_log.stages_of_runs, workspace),
    }


def _price_table(recipe: Recipe) -> pa.Table:
    figures = ("input_usd", "output_usd", "batch_share")
    columns = pa.schema([("model", pa.string()), *((figure, pa.float64()) for figure in figures)])
    rows = [{"model": model, **price.model_dump(include=set(figures))} for model, price in recipe.prices.items()]
    return pa.Table.from_pylist(rows, columns)


def _other_samples(path: Path) -> pa.Table:
    """The samples of another selection."""
    workspace = WorkspaceFolder(path)
    if not workspace.recipe.is_file():
        return difference.samples_of_shards(path)
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        return difference.samples_of_view(readers_view(Lake(workspace), recipe))


@dataclass(frozen=True, slots=True)
class Why(CommandResult):
    """The lineage of a row and, if requested, the checks of all receipts on the way."""

    lineage: Lineage
    checks: tuple[ReceiptCheck, ...] | None

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks or ())

    def as_json(self) -> dict[str, Any]:
        return lineage_text.as_json(self.lineage, self.checks)

    def blocks(self) -> Iterator[Block]:
        return lineage_text.lines(self.lineage, self.checks)


def why(workspace: WorkspaceFolder, text: str, check: bool = False) -> Why:
    """The lineage of a row, found by its id or by the beginning of its id."""
    partial_id = id_lookup.read_id(text)
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        lake = Lake(workspace)
        stored = StoredRows(lake, readers_view(lake, recipe), find_stage_class)
        row_lineage = lineage(stored, id_lookup.find(stored, partial_id))
        return Why(row_lineage, tuple(checks(row_lineage, stored)) if check else None)
