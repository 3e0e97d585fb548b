"""Options that several commands have, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dmforge import __version__
from dmforge.commands import console

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="The workspace folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DemoSize = Literal["chain", "small", "full"]
MANY = 1 << 31
"""The upper limit of counts on the command line: larger ones are typing errors."""


def print_version(is_asked_for: bool) -> None:
    """Print the version and exit, where that is asked for."""
    if is_asked_for:
        console.out.print(f"dmforge {__version__}", highlight=False)
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version and exit.")
]
