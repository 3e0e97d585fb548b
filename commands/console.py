"""Prints what commands give: results for people or as JSON, and reasons for pending inputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from dmforge.curation.io.command_result import CommandResult, TextTable, is_number
from dmforge.schemas.visible import escaped_in_line, escaped_json

if TYPE_CHECKING:
    from dmforge.curation.audit.query import QueryResult
    from dmforge.curation.contract.request_totals import RequestTotals, SpentByStage
    from dmforge.curation.io.terminal import Terminal

    out: Terminal
    err: Terminal

R = TypeVar("R", bound=CommandResult)
MAX_REASONS = 5
"""How many reasons for pending inputs are printed; all of them stand in the run's record."""
FILE_COLUMNS = 500
"""The width of a table that goes to a file or a pipe, so that no window cuts it."""


@cache
def _terminal(stream: str) -> Terminal:
    """The console on stdout or stderr, made when something is printed: importing rich takes as long as half of a start."""
    from dmforge.curation.io.terminal import Terminal

    return Terminal(stderr=stream == "err", soft_wrap=True)


def __getattr__(name: str) -> Terminal:
    """`out` and `err`."""
    if name not in ("out", "err"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _terminal(name)


def show(result: CommandResult, as_json: bool = False) -> None:
    """Print a result: its one document, or its lines and tables."""
    if as_json:
        print_json(result.as_json())
        return
    for block in result.blocks():
        if isinstance(block, str):
            _terminal("out").print_line(block)
        else:
            print_table(block)


def show_once(call: Callable[[], R], as_json: bool) -> R:
    """Call, and print the result alone: what trackers and others print meanwhile goes to stderr, and of the processes of
    `torchrun`, which come to one result together, only the first one prints it."""
    with redirect_stdout(sys.stderr):
        result = call()
    if os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0":
        show(result, as_json)
    return result


def show_answer(answer: QueryResult, form: str) -> None:
    """Print the answer of an audit in the requested format."""
    if form == "csv":
        from dmforge.curation.audit import output

        print(output.as_csv(answer), end="")  # noqa: T201 (as it is)
    else:
        show(answer, form == "json")


def print_json(document: Any) -> None:
    """Print the one document of --json."""
    print(escaped_json(document))  # noqa: T201 (the one place that prints a result as it is)


def print_table(text_table: TextTable) -> None:
    """Print a table: as wide as the terminal, or uncut into a file."""
    from rich.table import Table

    from dmforge.curation.io.terminal import Terminal

    rich_table = Table(box=None, pad_edge=False)
    first_row = text_table.rows[0] if text_table.rows else text_table.columns
    for column_name, first_cell in zip(text_table.columns, first_row, strict=True):
        rich_table.add_column(escaped_in_line(column_name), justify="right" if is_number(first_cell) else "left")
    for table_row in text_table.rows:
        rich_table.add_row(*(escaped_in_line(str(table_cell)) for table_cell in table_row))
    out_terminal = _terminal("out")
    console = out_terminal if out_terminal.is_terminal else Terminal(width=FILE_COLUMNS)
    console.print(rich_table)


def print_deferred(console: Terminal, stage: str, deferred: Mapping[str, int]) -> None:
    """Print why inputs stay pending, the most frequent reasons first; a server may give each input another one."""
    sorted_reasons = sorted(deferred.items(), key=lambda reason_and_count: (-reason_and_count[1], reason_and_count[0]))
    for reason, input_count in sorted_reasons[:MAX_REASONS]:
        reason_line, *hint_lines = reason.split("\n  hint: ")  # of an error, which has its hint in a line of its own
        console.print_line(f"{stage}: {input_count} pending: {reason_line}")
        for hint_line in hint_lines:
            console.print_line(f"  hint: {hint_line}")
    if other_reasons := sorted_reasons[MAX_REASONS:]:
        input_count = sum(input_count for _, input_count in other_reasons)
        console.print_line(f"{stage}: {input_count} pending for {len(other_reasons)} other reasons")


def print_awaited(console: Terminal, stage: str, blocked_by: str) -> None:
    """Print the stage before which a run ends, and what it awaits."""
    if blocked_by:
        console.print_line(f"a run ends before {stage}: {blocked_by}")


def print_spent(console: Terminal, spent: SpentByStage) -> None:
    """Print what a run spent, stage by stage and in all; nothing where nobody was asked."""
    for stage_name, stage_totals in spent.stages.items():
        console.print_line(f"{stage_name}: spent {_spent_text(stage_totals)}")
    if spent.stages:
        console.print_line(f"the run spent {_spent_text(spent.total)}")


def _spent_text(totals: RequestTotals) -> str:
    from dmforge.curation.contract.budget import print_amount

    failures_text = f"; {totals.failures} failed" if totals.failures else ""
    tokens_text = f"{totals.input_tokens} tokens in, {totals.output_tokens} out"
    return f"${print_amount(totals.usd)} on {totals.calls} calls: {tokens_text}{failures_text}"


def unfinished_if(pending: bool, to_change: Mapping[str, str] = MappingProxyType({})) -> None:
    """Exit code 1, where something is left to do; `to_change` says, by stage, what to change first."""
    if not pending:
        return
    for stage_name, hint in to_change.items():
        _terminal("err").print_line(
            f"unfinished: the same command would end at {stage_name} again; change something first: {hint}"
        )
    if not to_change:
        _terminal("err").print("unfinished: run the same command again to go on")
    raise typer.Exit(1)


def failed_if_in_vain(stages: Sequence[str]) -> None:
    """Exit code 1, where a teacher was asked, and nothing came of it."""
    for stage_name in stages:
        _terminal("err").print_line(f"{stage_name}: nothing was made; `dmforge audit reasons` says why")
    if stages:
        raise typer.Exit(1)
