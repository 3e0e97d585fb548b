"""Older workspaces and training files are brought up to what this version writes: nothing is lost, nobody is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from dmforge.curation.atomic import writing
from dmforge.curation.renaming import old_keys, renamed_text, renamed_values
from dmforge.curation.toml import read_toml
from dmforge.curation.workspace import Workspace
from dmforge.curation.workspace_format import read_format, stamp_format
from dmforge.recipe import STAGES, RecipeFile, stage_class
from dmforge.schemas import formats
from dmforge.schemas.config import Config, inner_config, parse_config, renamed_keys
from dmforge.schemas.errors import InputError


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What was brought up, or would be: from which format to which, and every change in words."""

    before: int
    after: int
    changes: tuple[str, ...]


def upgrade_workspace(workspace: Workspace, command: str, dry_run: bool) -> Upgraded:
    """A workspace: its recipe by today's keys, then its number. Each step is one atomic write, so it can be killed between."""
    before = read_format(workspace.require().root).format
    changes = _changes(workspace.recipe, RecipeFile)
    if before < formats.WORKSPACE:
        changes += (f"format.json: format {before} -> {formats.WORKSPACE}",)
    if not dry_run:
        with workspace.held(command):
            rewrite_recipe(workspace)
            stamp_format(workspace.root, formats.WORKSPACE)
    return Upgraded(before, formats.WORKSPACE, changes)


def rewrite_recipe(workspace: Workspace) -> None:
    """The first step: today's keys in the recipe, its comments and all else as they are."""
    _rewrite(workspace.recipe, RecipeFile)


def upgrade_file(path: Path, dry_run: bool) -> Upgraded:
    """A training file by today's keys."""
    kind = _kind_of_training(path)
    content = read_toml(path)
    parse_config(kind, renamed_values(content, _Renames(kind)), where=str(path))
    before, changes = int(content.get("format", 1)), _changes(path, kind)
    if not dry_run:
        _rewrite(path, kind)
    return Upgraded(before, formats.TRAINING, changes)


def _changes(path: Path, kind: type[BaseModel]) -> tuple[str, ...]:
    renames = _Renames(kind)
    return tuple(f"{path.name}: {'.'.join((*table, old))} -> {new}" for table, old, new in old_keys(read_toml(path), renames))


def _rewrite(path: Path, kind: type[BaseModel]) -> None:
    text = path.read_text("utf-8")
    changed = renamed_text(text, _Renames(kind), str(path))
    if changed != text:
        with writing(path) as file:
            file.write(changed.encode())


def _kind_of_training(path: Path) -> type[Config]:
    """Which settings a training file holds, by the keys that only one of them has."""
    from dmforge.trainers.evaluation_settings import EvaluationSettings
    from dmforge.trainers.sdgrpo_settings import SdgrpoSettings
    from dmforge.trainers.settings import SftSettings

    if not path.is_file():
        raise InputError("there is no such file", where=str(path), mend="give training files, or a workspace with -w")
    content = read_toml(path)
    formats.refuse_newer("the file", content.get("format", 1), formats.TRAINING, str(path))
    if "corpora" in content:
        return EvaluationSettings
    return SdgrpoSettings if "rollout" in content or "rewards" in content else SftSettings


class _Renames:
    """Old and new names of the keys of each table, from the configs that read them."""

    def __init__(self, root: type[BaseModel]) -> None:
        self._root = root

    def __call__(self, path: tuple[str, ...]) -> Mapping[str, str]:
        kind = self._config_at(path)
        return renamed_keys(kind) if kind else {}

    def _config_at(self, path: tuple[str, ...]) -> type[BaseModel] | None:
        kind: type[BaseModel] | None = self._root
        if self._root is RecipeFile and path[:1] == ("stages",) and len(path) > 1:
            kind, path = (stage_class(path[1]).config_class if path[1] in STAGES else None), path[2:]
        for key in path:
            if kind is None:
                return None
            kind = inner_config(kind.model_fields[key]) if key in kind.model_fields else None
        return kind
