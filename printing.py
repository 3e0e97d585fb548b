"""What commands say: tables for people, JSON for programs, and why something is left to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from dmforge.curation.terminal import Terminal
from dmforge.schemas.looks import print_span
from dmforge.schemas.visible import escaped_in_line, escaped_json

if TYPE_CHECKING:
    from dmforge.curation.audit.query import Answer
    from dmforge.curation.lake.views import Tally
    from dmforge.schooling import Schooled
    from dmforge.trainers.evaluate import Evaluation

REASONS = 5
"""Reasons that are printed for what stays pending; all of them stand in the run's record."""
WIDE = 500
"""Columns of a table that goes to a file or a pipe: nobody's window cuts it."""
out, err = Terminal(soft_wrap=True), Terminal(stderr=True, soft_wrap=True)


def print_json(document: dict[str, Any] | list[dict[str, Any]]) -> None:
    """The one document of --json."""
    print(escaped_json(document))  # noqa: T201 (the one place that prints a result as it is)


def print_table(columns: list[str], rows: Sequence[Sequence[object]]) -> None:
    """For people: as wide as their window, or uncut into a file."""
    table = Table(box=None, pad_edge=False)
    for column, sample in zip(columns, rows[0] if rows else columns, strict=True):
        table.add_column(
            escaped_in_line(column),
            justify="left" if isinstance(sample, str) and not sample.replace(".", "").isdigit() else "right",
        )
    for row in rows:
        table.add_row(*(escaped_in_line(str(cell)) for cell in row))
    sheet = out if out.is_terminal else Terminal(width=WIDE)
    sheet.print(table)


def counts_of(name: str, tally: Tally) -> dict[str, Any]:

    return {"name": name, **asdict(tally)}


def print_tallies(tallies: dict[str, Tally]) -> None:
    """Where each stage stands."""
    rows = [[name, t.pending, t.made, t.rejected, t.quarantined] for name, t in tallies.items()]
    print_table(["stage", "pending", "made", "rejected", "quarantined"], rows)


def print_deferred(stage: str, deferred: dict[str, int]) -> None:
    """Why inputs stay pending, the commonest reasons first; a server can give every input one of its own."""
    by_number = sorted(deferred.items(), key=lambda pair: (-pair[1], pair[0]))
    for reason, number in by_number[:REASONS]:
        what, *hints = reason.split("\n  mend: ")  # of an error, which has its hint in a line of its own
        err.print_line(f"{stage}: {number} pending: {what}")
        for hint in hints:
            err.print_line(f"  mend: {hint}")
    if rest := by_number[REASONS:]:
        err.print(f"{stage}: {sum(number for _, number in rest)} pending for {len(rest)} other reasons", highlight=False)


def print_awaited(stage: str, awaits: str) -> None:
    """Where a run ends for now, and what takes it on."""
    if awaits:
        err.print_line(f"a run ends before {stage}: {awaits}")


def unfinished_if(pending: bool) -> None:
    """Exit code 1, where something is left to do."""
    if pending:
        err.print("unfinished: run the same command again to go on")
        raise typer.Exit(1)


def print_formats(as_json: bool) -> None:
    """The formats of annotations that are known."""
    from dmforge.curation.sources.formats import FORMATS

    if as_json:
        print_json([{"format": form.name, "role": form.role, "about": form.about} for form in FORMATS.values()])
    else:
        print_table(["format", "role", "what a file looks like"], [[f.name, f.role, f.about] for f in FORMATS.values()])


def print_funnel(answer: Answer) -> None:
    """A stage's name stands once, over what became of its inputs."""
    rows, last = [], ""
    for stage, status, reason, inputs, made in answer.rows:
        rows.append(["" if stage == last else stage, status, reason, inputs, "" if made is None else made])
        last = stage
    print_table(answer.columns, rows)


def print_answer(answer: Answer, form: str) -> None:
    """What an audit found, as it was asked for."""
    from dmforge.curation.audit import results

    if form == "json":
        print_json({"columns": answer.columns, "rows": answer.rows})
    elif form == "csv":
        print(results.as_csv(answer), end="")  # noqa: T201 (as it is)
    else:
        print_table(answer.columns, [["" if cell is None else cell for cell in row] for row in answer.rows])


def print_evaluation(found: Evaluation) -> None:
    """Figures with their intervals, then the baselines."""
    span, beside = found.baselines.constant_span, found.baselines
    told = {
        **found.figures,
        f"constant span {print_span(span)}: miou" if span else "": beside.constant_miou,
        "uniform frames: accuracy": beside.uniform_frames,
        "longest option: accuracy": beside.longest_option,
    }
    rows = [
        [name, f"{one.value:.3f}", f"{one.low:.3f} - {one.high:.3f}", one.samples]
        for name, one in told.items()
        if one is not None
    ]
    print_table(["", "mean", "95 % of resampled videos", "samples"], rows)


def print_schooled(found: Schooled) -> None:
    """Before practice and after it, and what practice was worth."""
    out.print(f"\nThe student in {found.after.samples} tasks about worlds that it has never seen:", highlight=False)
    columns = ["", "after imitation", "after practice", "gain", "95 % of resampled videos"]
    rows = [
        [name, *(f"{one.figures[name].value:.3f}" for one in (found.before, found.after)), f"{gain.value:+.3f}",
         f"{gain.low:+.3f} - {gain.high:+.3f}"]
        for name, gain in found.gains.items()
    ]  # fmt: skip
    print_table(columns, rows)
    span, beside = found.after.baselines.constant_span, found.after.baselines.constant_miou
    if span and beside:
        out.print(f"Who always looks at {print_span(span)}: miou {beside.value:.3f}", markup=False, highlight=False)
