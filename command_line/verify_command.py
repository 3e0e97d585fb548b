"""The command `dmforge verify`: a folder of shards, or a whole workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmforge.command_line.opening import open_workspace
from dmforge.commands import console
from dmforge.commands.common_options import JsonOption
from dmforge.commands.console import show
from dmforge.schemas.errors import InputError, LakeError


def verify(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A folder of shards, here or at an address.")] = "",
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Instead, all that a workspace holds.", show_default=False)
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Have made again what can be; nobody is asked.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every byte of a folder of shards, or of a workspace, and say what can be had again."""
    if bool(folder) == (workspace is not None) or (folder and repair):
        message = "a folder of shards is verified, or with -w a workspace; only a workspace is repaired"
        raise InputError(message, where="verify", hint="dmforge verify DIR, or dmforge verify -w WS --repair")
    if workspace is None:
        _verify_shards(folder, as_json)
    else:
        _verify_workspace(workspace, repair, as_json)


def _verify_shards(folder: str, as_json: bool) -> None:
    from dmforge.api import inspection
    from dmforge.curation.shards.integrity import REFETCH_HINT

    verification = inspection.verify(folder)
    show(verification, as_json)
    if verification.defects:
        damaged = ", ".join(dict.fromkeys(defect.shard for defect in verification.defects))
        raise LakeError(f"damaged: {damaged}", where=folder, hint=REFETCH_HINT)


def _verify_workspace(root: Path, repair: bool, as_json: bool) -> None:
    report = open_workspace(root).verify(repair=repair)
    show(report, as_json)
    if not report.ok:
        console.err.print(f"damaged: {', '.join(dict.fromkeys(defect.file for defect in report.defects))}")
        raise typer.Exit(1)
