"""Read-only questions to a workspace: named queries, SQL, and the lineage of a row."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dmforge.commands import compare
from dmforge.commands.near_question_tables import near_question_tables
from dmforge.commands.readable_recipe import readable_recipe
from dmforge.commands.standing import readers_view
from dmforge.curation import output_paths
from dmforge.curation.audit import lineage_text, output, plain_views, sql_sandbox
from dmforge.curation.audit.corpus_checks import CorpusVerdict, corpus_checks
from dmforge.curation.audit.extra_rows import BroughtVideo, ModelPrice
from dmforge.curation.audit.lineage import Lineage, lineage
from dmforge.curation.audit.output import StreamedResult
from dmforge.curation.audit.printed_ids import PrintedIds, by_column
from dmforge.curation.audit.query import QueryResult, Tables, as_answer, ask_table, compares, is_worked_out, listed
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

LOST = "lost"
"""The question that lists inputs by their reason."""
CHECKS = "checks"
"""The question that is answered by a verdict, and not by one query."""
CHECKS_QUESTION = "Is what was kept worth training on: go, look or stop, by which checks?"


def audit(workspace: WorkspaceFolder, query: str, other: Path | None = None) -> QueryResult:
    """The answer to a named query."""
    return as_answer(audit_table(workspace, query, other))


def audit_table(workspace: WorkspaceFolder, query: str, other: Path | None = None) -> pa.Table:
    """The answer to a named query as an Arrow table; `other` is the corpus to compare with."""
    compare.check_other(query, other)
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        view, table_makers = readers_view(Lake(workspace), recipe), extra_tables(workspace, recipe)
        if other is None:
            near_tables = near_question_tables(view) if is_worked_out(query) else {}
            return ask_table(view, query, {**table_makers, **near_tables})
        if compares(query):
            return ask_table(view, query, {**table_makers, **compare.other_tables(query, other)})
        compared = compare.compared_with(view, workspace.root.name, compare.corpus_tables(other), query)
        return compare.summary_table(compared) if query == compare.LIKENESS else compare.class_table(compared)


def questions() -> QueryResult:
    """The names of all questions, and what they ask."""
    named_queries = listed()
    further_rows = [[CHECKS, CHECKS_QUESTION], [compare.LIKENESS, compare.LIKENESS_QUESTION]]
    return QueryResult(named_queries.columns, sorted([*named_queries.rows, *further_rows]))


def checks_of(workspace: WorkspaceFolder) -> CorpusVerdict:
    """Go, look or stop: what was kept, held against the limits of the recipe."""
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        return corpus_checks(readers_view(Lake(workspace), recipe), recipe.checks, extra_tables(workspace, recipe))


class Reasons(QueryResult):
    """Reasons for which inputs did not go on, with the command that lists what has one."""

    def blocks(self) -> Iterator[Block]:
        yield from QueryResult.blocks(self)
        yield from self.listing()

    def listing(self) -> Iterator[Block]:
        """The command that lists inputs with one of the reasons, such as the first."""
        status, reason = (self.columns.index(name) for name in ("status", "reason"))
        named = next(
            (row[reason] for row in self.rows if row[status] not in ("made", "inputs", "pending") and row[reason]), None
        )
        if named is not None:
            yield f"each of them: dmforge audit {LOST} --reason {shlex.quote(named)}"


class Funnel(Reasons):
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
        yield from self.listing()


def named_answer(query_name: str, answer: QueryResult) -> QueryResult:
    """The answer to a named query as it is printed."""
    results = {"funnel": Funnel, "reasons": Reasons}
    return results.get(query_name, QueryResult)(answer.columns, answer.rows)


def write_answer(
    workspace: WorkspaceFolder,
    answer_context: AbstractContextManager[output.StreamedResult],
    out_path: Path,
    form: output.Format,
    inputs: Sequence[Path] = (),
) -> int:
    """Write an answer into a file outside the workspace's own folders, and over none of `inputs`; how many rows it has."""
    output_paths.output_file(out_path, "--out", workspace, inputs)
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


def audit_reader(workspace: WorkspaceFolder, query: str, other: Path | None, reason: str | None = None) -> StreamedResult:
    """The answer to a named query as a reader, for printing: ids are named by their columns."""
    if reason is not None and query != LOST:
        raise InputError(
            f"{query} takes no reason", where="--reason", hint=f"dmforge audit {LOST} --reason {shlex.quote(reason)}"
        )
    table = audit_table(workspace, query, other)
    if reason is not None:
        table = table.filter(pc.match_substring(table["reason"], reason))
        if not len(table):
            raise InputError(
                f"nothing was lost for {reason!r}", where="--reason", hint="dmforge audit reasons names all reasons"
            )
    return StreamedResult(table.to_reader(), by_column)


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
        BroughtVideo(listed_video.video, listed_video.source_id, listed_video.path)
        for listed_video in listed_videos(workspace).values()
    ]
    return pa.Table.from_batches([to_arrow(BroughtVideo, brought_rows)])


def _review_table(workspace: WorkspaceFolder) -> pa.Table:
    """Every decision of reviewers that counts, as their files have it: also those that no run has read yet."""
    return pa.Table.from_batches([to_arrow(Review, list(all_reviews(workspace)))])


def _price_table(recipe: Recipe) -> pa.Table:
    price_rows = [
        ModelPrice(model, price.input_usd, price.output_usd, price.batch_share) for model, price in recipe.prices.items()
    ]
    return pa.Table.from_batches([to_arrow(ModelPrice, price_rows)])


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
