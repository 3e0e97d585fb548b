"""The recipe of a workspace that is only read: a stage whose plug-in is missing stands in it as the lake last knew it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from dmforge.commands import console
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.io.plugins import PluginError
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.missing_stage import last_known
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import Recipe, read_recipe


def readable_recipe(workspace: WorkspaceFolder) -> Recipe:
    """The recipe, with a stand-in for each stage that settled something and can't be loaded now; each is told of on stderr."""
    try:
        return read_recipe(workspace.recipe)
    except PluginError:
        with workspace.reading():
            return read_recipe(workspace.recipe, partial(_stand_in, Lake(workspace)))


def _stand_in(lake: Lake, name: str, settings: Mapping[str, Any], error: PluginError) -> AnyStage:
    stage = last_known(lake, name, settings)
    if stage is None:
        raise error
    console.err.print_line(f"{error.where}: {error.message}; what it settled is shown as it stands")
    console.err.print_line(f"  hint: {error.hint}")
    return stage
