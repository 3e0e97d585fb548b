"""Opens the workspace that a command was given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmforge.api.workspace import Workspace


def open_workspace(root: Path) -> Workspace:
    """A workspace, with the words by which the command was called."""
    from dmforge.api.workspace import Workspace
    from dmforge.commands.caller import command_line
    from dmforge.curation.io.process_startup import warm_up

    warm_up()
    return Workspace.of(root, command_line())
