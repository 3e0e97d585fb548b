"""Prints the output of commands: tables for people, JSON for programs, and reasons for pending inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from dmforge.curation.io.terminal import Terminal
from dmforge.schemas.looks import print_span
from dmforge.schemas.visible import escaped_in_line, escaped_json

if TYPE_CHECKING:
    from dmforge.curation.audit.query import QueryResult
    from dmforge.curation.contract.collective import StageCounts
    from dmforge.trainers.evaluate import Evaluation

MAX_REASONS = 5
"""How many reasons for pending inputs are printed; all of them stand in the run's record."""
FILE_COLUMNS = 500
"""The width of a table that goes to a file or a pipe, so that no window cuts it."""
out, err = Terminal(soft_wrap=True), Terminal(stderr=True, soft_wrap=True)


def print_json(document: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Print the one document of --json."""
    print(escaped_json(document))  # noqa: T201 (the one place that prints a result as it is)


def print_table(columns: list[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: as wide as the terminal, or uncut into a file."""
    table = Table(box=None, pad_edge=False)
    for column, first_cell in zip(columns, rows[0] if rows else columns, strict=True):
        table.add_column(
            escaped_in_line(column),
            justify="left" if isinstance(first_cell, str) and not first_cell.replace(".", "").isdigit() else "right",
        )
    for row in rows:
        table.add_row(*(escaped_in_line(str(cell)) for cell in row))
    console = out if out.is_terminal else Terminal(width=FILE_COLUMNS)
    console.print(table)


def counts_of(name: str, tally: StageCounts) -> dict[str, Any]:

    return {"name": name, **asdict(tally)}


def print_tallies(tallies: dict[str, StageCounts]) -> None:
    """Print the counts of each stage."""
    rows = [[name, tally.pending, tally.made, tally.rejected, tally.quarantined] for name, tally in tallies.items()]
    print_table(["stage", "pending", "made", "rejected", "quarantined"], rows)


def print_deferred(stage: str, deferred: dict[str, int]) -> None:
    """Print why inputs stay pending, the most frequent reasons first; a server may give each input another one."""
    by_count = sorted(deferred.items(), key=lambda reason_and_count: (-reason_and_count[1], reason_and_count[0]))
    for reason, count in by_count[:MAX_REASONS]:
        message, *hints = reason.split("\n  hint: ")  # of an error, which has its hint in a line of its own
        err.print_line(f"{stage}: {count} pending: {message}")
        for hint in hints:
            err.print_line(f"  hint: {hint}")
    if other_reasons := by_count[MAX_REASONS:]:
        err.print(
            f"{stage}: {sum(count for _, count in other_reasons)} pending for {len(other_reasons)} other reasons",
            highlight=False,
        )


def print_awaited(stage: str, blocked_by: str) -> None:
    """Print the stage before which a run ends, and what it awaits."""
    if blocked_by:
        err.print_line(f"a run ends before {stage}: {blocked_by}")


def unfinished_if(pending: bool) -> None:
    """Exit code 1, where something is left to do."""
    if pending:
        err.print("unfinished: run the same command again to go on")
        raise typer.Exit(1)


def print_formats(as_json: bool) -> None:
    """Print the known annotation formats."""
    from dmforge.curation.io.plugins import PluginError
    from dmforge.curation.sources.formats import all_formats

    forms, columns = [], ["format", "role", "what a file looks like"]
    for form in all_formats("import --list"):
        if isinstance(form, PluginError):
            err.print_line(f"left out: {form}")
        else:
            forms.append(form)
    if as_json:
        print_json([{"format": form.name, "role": form.role, "about": form.about} for form in forms])
    else:
        print_table(columns, [[form.name, form.role, form.about] for form in forms])


def print_funnel(answer: QueryResult) -> None:
    """Print the funnel, with each stage's name only once."""
    rows, last_stage = [], ""
    for stage, status, reason, inputs, made in answer.rows:
        rows.append(["" if stage == last_stage else stage, status, reason, inputs, "" if made is None else made])
        last_stage = stage
    print_table(answer.columns, rows)


def print_answer(answer: QueryResult, form: str) -> None:
    """Print the answer of an audit in the requested format."""
    from dmforge.curation.audit import output

    if form == "json":
        print_json({"columns": answer.columns, "rows": answer.rows})
    elif form == "csv":
        print(output.as_csv(answer), end="")  # noqa: T201 (as it is)
    else:
        print_table(answer.columns, [["" if cell is None else cell for cell in row] for row in answer.rows])


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the figures of an evaluation with their intervals, then the baselines."""
    span, baselines = evaluation.baselines.constant_span, evaluation.baselines
    figures_by_name = {
        **evaluation.figures,
        f"constant span {print_span(span)}: miou" if span else "": baselines.constant_miou,
        "uniform frames: accuracy": baselines.uniform_frames,
        "longest option: accuracy": baselines.longest_option,
    }
    rows = [
        [name, f"{figure.value:.3f}", f"{figure.low:.3f} - {figure.high:.3f}", figure.samples]
        for name, figure in figures_by_name.items()
        if figure is not None
    ]
    print_table(["", "mean", "95 % of resampled videos", "samples"], rows)
