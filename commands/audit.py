"""Read-only questions to a workspace: named queries, SQL, and the lineage of a row."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from dmforge.commands.readable_recipe import readable_recipe
from dmforge.commands.run import readers_view
from dmforge.curation import output_paths
from dmforge.curation.audit import difference, lineage_text, output, plain_views, sql_sandbox
from dmforge.curation.audit.corpus_checks import CorpusVerdict, corpus_checks
from dmforge.curation.audit.lineage import Lineage, lineage
from dmforge.curation.audit.output import StreamedResult
from dmforge.curation.audit.printed_ids import PrintedIds, by_column
from dmforge.curation.audit.query import QueryResult, Tables, as_answer, ask_table, listed
from dmforge.curation.audit.receipts import ReceiptCheck, checks
from dmforge.curation.audit.row_search import find_row
from dmforge.curation.audit.stored_rows import StoredRows
from dmforge.curation.engine import run_log
from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.evaluations import evaluations
from dmforge.curation.lake.journal_table import answers
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.reviews import Review, all_reviews
from dmforge.curation.sources.videos import listed as listed_videos
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import Recipe, find_stage_class
from dmforge.schemas.columns import to_arrow
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES

COMPARING_QUERY = "difference"
"""The named query that compares with another selection."""
CHECKS = "checks"
"""The question that is answered by a verdict, and not by one query."""
CHECKS_QUESTION = "Is what was kept worth training on: go, look or stop, by which checks?"


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
        table_makers = dict(extra_tables(workspace, recipe))
        if other is not None:
            table_makers["others"] = partial(_other_samples, other)
        return ask_table(readers_view(Lake(workspace), recipe), query, table_makers)


def questions() -> QueryResult:
    """The names of all questions, and what they ask."""
    named_queries = listed()
    return QueryResult(named_queries.columns, sorted([*named_queries.rows, [CHECKS, CHECKS_QUESTION]]))


def checks_of(workspace: WorkspaceFolder) -> CorpusVerdict:
    """Go, look or stop: what was kept, held against the limits of the recipe."""
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        return corpus_checks(readers_view(Lake(workspace), recipe), recipe.checks, extra_tables(workspace, recipe))


class Funnel(QueryResult):
    """What became of the inputs of each stage."""

    def blocks(self) -> Iterator[Block]:
        """The funnel, with each stage's name only once."""
        table_rows, last_stage = list[list[object]](), ""
        for stage_name, status, reason, input_count, made_count in self.rows:
            table_rows.append(
                [
                    "" if stage_name == last_stage else stage_name,
                    status,
                    reason,
                    input_count,
                    "" if made_count is None else made_count,
                ]
            )
            last_stage = stage_name
        yield TextTable(self.columns, table_rows)


def named_answer(query_name: str, answer: QueryResult) -> QueryResult:
    """The answer to a named query as it is printed."""
    return Funnel(answer.columns, answer.rows) if query_name == "funnel" else answer


def write_answer(
    workspace: WorkspaceFolder,
    answer_context: AbstractContextManager[output.StreamedResult],
    out_path: Path,
    form: output.Format,
) -> int:
    """Write an answer into a file outside the workspace's own folders; how many rows it has."""
    output_paths.output_file(out_path, "--out", workspace)
    return output.write_from(answer_context, out_path, form)


def write_views(workspace: WorkspaceFolder, script: Path) -> int:
    """Write a script of views for DuckDB alone; how many views it makes."""
    if script.suffix != ".sql":
        raise InputError(
            "a script of SQL ends in .sql", where=f"FILE {script}", hint="dmforge views --duckdb FILE for a database"
        )
    return _written_views(workspace, output_paths.output_file(script, "FILE", workspace), plain_views.write_script)


def write_view_database(workspace: WorkspaceFolder, database: Path) -> int:
    """Write a database of such views; how many it has."""
    return _written_views(workspace, output_paths.output_file(database, "--duckdb", workspace), plain_views.write_database)


def _written_views(workspace: WorkspaceFolder, path: Path, write: Callable[[LakeView, Tables, Path], int]) -> int:
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        return write(readers_view(Lake(workspace), recipe), extra_tables(workspace, recipe), path)


def audit_reader(workspace: WorkspaceFolder, query: str, other: Path | None) -> StreamedResult:
    """The answer to a named query as a reader, for printing: ids are named by their columns."""
    return StreamedResult(audit_table(workspace, query, other).to_reader(), by_column)


@contextmanager
def ask_sql(workspace: WorkspaceFolder, sql: str, limits: sql_sandbox.SqlLimits) -> Generator[StreamedResult]:
    """Run an SQL query over the same tables; the answer is streamed."""
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        view = readers_view(Lake(workspace), recipe)
        with sql_sandbox.query_batches(view, sql, limits, extra_tables(workspace, recipe)) as batch_reader:
            yield StreamedResult(batch_reader, PrintedIds(view).of)


def extra_tables(workspace: WorkspaceFolder, recipe: Recipe) -> Tables:
    """Tables besides those of the recipe: paid answers, files, evaluations, prices of models, reviews, durations of stages."""
    return {
        "answers": partial(answers, workspace),
        "brought": partial(_brought_table, workspace),
        "evaluations": partial(evaluations, workspace),
        "prices": partial(_price_table, recipe),
        "reviews": partial(_review_table, workspace),
        "run_stages": partial(run_log.stages_of_runs, workspace),
    }


def _brought_table(workspace: WorkspaceFolder) -> pa.Table:
    """Every video on the list with its file, also those of which no video was made."""
    brought_rows = [
        {"video": listed_video.video, "name": listed_video.source_id, "path": listed_video.path}
        for listed_video in listed_videos(workspace).values()
    ]
    table_schema = pa.schema([("video", pa.binary(ID_BYTES)), ("name", pa.string()), ("path", pa.string())])
    return pa.Table.from_pylist(brought_rows, table_schema)


def _review_table(workspace: WorkspaceFolder) -> pa.Table:
    """Every decision of reviewers that counts, as their files have it: also those that no run has read yet."""
    return pa.Table.from_batches([to_arrow(Review, list(all_reviews(workspace)))])


def _price_table(recipe: Recipe) -> pa.Table:
    price_columns = ("input_usd", "output_usd", "batch_share")
    table_schema = pa.schema([("model", pa.string()), *((price_column, pa.float64()) for price_column in price_columns)])
    price_rows = [
        {"model": model, **model_price.model_dump(include=set(price_columns))} for model, model_price in recipe.prices.items()
    ]
    return pa.Table.from_pylist(price_rows, table_schema)


def _other_samples(other_path: Path) -> pa.Table:
    """The samples of another selection."""
    workspace = WorkspaceFolder(other_path)
    if not workspace.recipe.is_file():
        return difference.samples_of_shards(other_path)
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
        return all(receipt_check.holds for receipt_check in self.checks or ())

    def as_json(self) -> dict[str, Any]:
        return lineage_text.as_json(self.lineage, self.checks)

    def blocks(self) -> Iterator[Block]:
        return lineage_text.lines(self.lineage, self.checks)


def why(workspace: WorkspaceFolder, text: str, check: bool = False) -> Why:
    """The lineage of a row, found by its id, a video's name or file, a line of a file, or words that it says."""
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        lake = Lake(workspace)
        stored_rows = StoredRows(lake, readers_view(lake, recipe), find_stage_class)
        row_lineage = lineage(stored_rows, find_row(stored_rows, text))
        return Why(row_lineage, tuple(checks(row_lineage, stored_rows)) if check else None)
