"""Commands that ask a workspace and change nothing: audit, views, report, why."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from dmforge.command_line.opening import open_workspace
from dmforge.commands import console
from dmforge.commands.common_options import MANY, JsonOption, WorkspaceOption
from dmforge.commands.console import show, show_answer
from dmforge.schemas.errors import InputError


def audit(
    query: Annotated[str, typer.Argument(help="A named question: funnel, say; without one, all are listed.")] = "",
    sql: Annotated[str | None, typer.Option(metavar="TEXT", help="Another question: one SELECT over its tables.")] = None,
    list_queries: Annotated[bool, typer.Option("--list", help="List the named questions.")] = False,
    other: Annotated[
        Path | None, typer.Option("--with", metavar="OTHER", help="A workspace, shards, a set or a benchmark's file.")
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="One reason, whole or a part: for `lost`.")] = None,
    form: Annotated[str | None, typer.Option("--format", help="table, csv, json or parquet.")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Into a file; its suffix says the format.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="When a question of --sql is stopped.")] = 60.0,
    memory_mb: Annotated[int, typer.Option("--memory-mb", min=64, max=MANY, help="The most memory it may use.")] = 2048,
    html: Annotated[Path | None, typer.Option(hidden=True)] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Ask the lake a question, by its name or in SQL. Reads what is committed and changes nothing, also while a run goes on."""
    if html is not None:
        raise InputError("the report has a command of its own now", where="--html", hint=f"dmforge report {html}")
    if query and sql is not None:
        raise InputError("give a named question or --sql, not both", where="audit", hint=f"dmforge audit {query}")
    if query in ("", "checks") or sql is not None:
        for value, option in ((other, "--with"), (reason, "--reason")):
            if value is not None:
                raise InputError(f"{option} needs a named question that takes it", where="audit", hint="dmforge audit --list")
    from dmforge.commands import audit as audit_commands
    from dmforge.curation.audit import output, sql_sandbox

    audited = open_workspace(workspace)
    form = output.format_of("json" if as_json else form, out_file)
    if list_queries or not (query or sql is not None):
        show_answer(audited.audit(), form)
        return
    if query == audit_commands.CHECKS:
        if out_file is not None:
            raise InputError("`checks` takes no --out", where="audit checks", hint="dmforge audit checks --json")
        verdict = audited.checks()
        show_answer(verdict, form)
        if verdict.verdict == "stop":
            raise typer.Exit(1)
        return
    if sql is not None:
        answer_stream = audit_commands.ask_sql(audited.folder, sql, sql_sandbox.SqlLimits(memory_mb, seconds))
    else:
        answer_stream = contextlib.nullcontext(audit_commands.audit_reader(audited.folder, query, other, reason))
    if out_file is not None:
        row_count = audit_commands.write_answer(audited.folder, answer_stream, out_file, form, [other] if other else [])
        console.out.print_line(f"{out_file}: {row_count} rows")
        return
    with answer_stream as result_stream:
        show_answer(audit_commands.named_answer(query, output.answer_of(result_stream)), form)


def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The page, for a browser.")],
    training: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="A training whose curves it shows.")] = None,
    other: Annotated[
        Path | None, typer.Option("--with", metavar="OTHER", help="Distributions beside those of another corpus.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write all that the lake holds as one page: the funnel, figures, and samples as cards."""
    show(open_workspace(workspace).report(file, trainings=training or [], other=other), as_json)


def why(
    row: Annotated[
        str,
        typer.Argument(
            metavar="ROW", help="An id or how it begins, a video's name or file, tasks.jsonl:11, or words of a row."
        ),
    ],
    check: Annotated[bool, typer.Option("--check", help="Hold every receipt on the way against the bytes.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Say why a row is as it is: from the file that was brought to the bytes in a shard."""
    from dmforge.curation.audit.id_lookup import SeveralMatches
    from dmforge.curation.audit.query import QueryResult

    try:
        row_why = open_workspace(workspace).why(row, check=check)
    except SeveralMatches as error:
        show(QueryResult(["id", "text"], [list(match) for match in error.matches]), as_json)
        raise
    show(row_why, as_json)
    if not row_why.holds:
        console.err.print("some receipts do not hold")
        raise typer.Exit(1)


def views(
    script: Annotated[Path | None, typer.Argument(metavar="FILE.sql", help="A script that makes the views anywhere.")] = None,
    database: Annotated[
        Path | None, typer.Option("--duckdb", metavar="FILE", help="A database of DuckDB with them instead.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write views of what counts now, which DuckDB alone opens: tables as people read them, and the named questions."""
    if script is not None and database is None:
        show(open_workspace(workspace).write_views(script), as_json)
    elif database is not None and script is None:
        show(open_workspace(workspace).write_view_database(database), as_json)
    else:
        hint = "dmforge views FILE.sql, or dmforge views --duckdb FILE"
        raise InputError("give a script or a database, one of them", where="views", hint=hint)
