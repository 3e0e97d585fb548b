"""Commands that open a page on this machine: browse, review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmforge.command_line.opening import open_workspace
from dmforge.commands import console
from dmforge.commands.common_options import MANY, WorkspaceOption

PortOption = Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on loopback; 0 takes a free port.")]


def review(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="The corpus, as the recipe calls it: cot, say.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Who decides: inputs/reviews/NAME.jsonl.")],
    sample: Annotated[int, typer.Option(metavar="N", min=1, max=MANY, help="How many samples, drawn by id.")] = 100,
    port: PortOption = 0,
    workspace: WorkspaceOption = Path(),
) -> None:
    """Look at samples in a browser on this machine, and keep or reject them. Ctrl-C ends it; the next run counts it."""
    from dmforge.commands.review import review as serve_review

    hint = "Ctrl-C ends the review, dmforge run counts what was decided"
    serve_review(open_workspace(workspace).folder, corpus, sample, name, port, lambda address: _announce(address, hint))


def browse(
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who decides; without it one only looks.")] = None,
    port: PortOption = 0,
    workspace: WorkspaceOption = Path(),
) -> None:
    """Look through all tasks and candidates in a browser on this machine: filter, search, sort, compare. Ctrl-C ends it."""
    from dmforge.commands.browse import browse as serve_browse

    folder, progress = open_workspace(workspace).folder, console.err.print_line
    serve_browse(folder, name, port, progress, lambda address: _announce(address, "Ctrl-C ends it"))


def _announce(address: str, hint: str) -> None:
    """Print an address, which is the command's result."""
    print(address, flush=True)  # noqa: T201
    console.err.print(f"open this address in a browser on this machine; {hint}")
