"""Upgrades older workspaces and training files to the formats of this version; nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel

from dmforge.curation.io.atomic import writing
from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.curation.io.toml import read_toml
from dmforge.curation.io.toml_keys import old_keys, renamed_text, renamed_values
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.parts import check_parts
from dmforge.curation.video.media import keep_clips, kept_clips, only_looks_grow
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.curation.workspace_format import read_format, stamp_format
from dmforge.recipe import RecipeFile, find_stage_class
from dmforge.schemas import formats
from dmforge.schemas.clips import Clips
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.config import Config, parse_config, renamed_keys, tables_at
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Video


@dataclass(frozen=True, slots=True)
class Upgraded(CommandResult):
    """An upgrade, done or planned: the old format, the new one, and every change in words."""

    before: int
    after: int
    changes: tuple[str, ...]
    planned: bool = False
    """Whether nothing was written."""

    def __add__(self, other: Upgraded) -> Upgraded:
        return Upgraded(min(self.before, other.before), self.after, self.changes + other.changes, self.planned)

    def as_json(self) -> dict[str, Any]:
        return {"from": self.before, "to": self.after, "changes": list(self.changes)}

    def blocks(self) -> Iterator[Block]:
        yield from self.changes
        action = "would be changed" if self.planned else "changed"
        yield f"{len(self.changes)} {action}" if self.changes else "nothing to upgrade: it is of this version's format"


def upgrade_workspace(workspace: WorkspaceFolder, command: str, dry_run: bool) -> Upgraded:
    """Upgrade a workspace: its recipe's keys, then its format number. Each step is atomic, so it may be killed in between."""
    old_format = read_format(workspace.require().root).format
    recipe_changes = _changes(workspace.recipe, RecipeFile)
    if old_format < formats.WORKSPACE:
        recipe_changes += (f"format.json: format {old_format} -> {formats.WORKSPACE}",)
    kept, clips = kept_clips(workspace), _clips_of(workspace)
    looks_grow = kept is not None and only_looks_grow(kept, clips)
    if kept and looks_grow:
        recipe_changes += (
            f"media/clips.json: look_size {kept.look_size} -> {clips.look_size}{_made_anew(workspace, kept, clips)}",
        )
    if not dry_run:
        with workspace.held(command):
            rewrite_recipe(workspace)
            stamp_format(workspace.root)
            if looks_grow:
                keep_clips(workspace, clips)
    return Upgraded(old_format, formats.WORKSPACE, recipe_changes, dry_run)


def _clips_of(workspace: WorkspaceFolder) -> Clips:
    """The clip settings of a recipe, whose keys may still have older names."""
    values = renamed_values(read_toml(workspace.recipe), _Renames(RecipeFile)).get("clips", {})
    return parse_config(Clips, values, where=f"{workspace.recipe}: [clips]")


def _made_anew(workspace: WorkspaceFolder, kept: Clips, clips: Clips) -> str:
    """What a new size of looks makes anew in a workspace, in words; nothing where no video is made anew."""
    videos = list(_videos(workspace))
    changed_count = sum(kept.digest_for(video) != clips.digest_for(video) for video in videos)
    if not changed_count:
        return ""
    return (
        f": the next run makes the renditions of {changed_count} of {len(videos)} videos anew, and asks and rolls out anew "
        "where looks at these are shown; `dmforge plan` prices it"
    )


def _videos(workspace: WorkspaceFolder) -> Iterator[Video]:
    """Every video that was ever rendered, once."""
    seen_ids = set[Id]()
    video_parts = [part for commit in Lake(workspace).commits.values() for part in commit.of(Video.table)]
    check_parts(workspace.lake, video_parts)
    for part in video_parts:
        for video in from_arrow(Video, pq.read_table(part.path(workspace.lake))):
            if video.id not in seen_ids:
                seen_ids.add(video.id)
                yield video


def rewrite_recipe(workspace: WorkspaceFolder) -> None:
    """Rename keys in the recipe to current ones, and keep its comments and all else."""
    _rewrite(workspace.recipe, RecipeFile)


def upgrade_file(path: Path, dry_run: bool) -> Upgraded:
    """Rename keys in a training file, or in a recipe outside a workspace, to current ones."""
    config_class = _config_class_of(path)
    file_values = read_toml(path)
    parse_config(config_class, renamed_values(file_values, _Renames(config_class)), where=str(path))
    old_format, key_changes = int(file_values.get("format", 1)), _changes(path, config_class)
    if not dry_run:
        _rewrite(path, config_class)
    return Upgraded(old_format, formats.TRAINING, key_changes, dry_run)


def _changes(path: Path, config_class: type[BaseModel]) -> tuple[str, ...]:
    renames = _Renames(config_class)
    return tuple(
        f"{path.name}: {'.'.join((*table, old_key))} -> {new_key}"
        for table, old_key, new_key in old_keys(read_toml(path), renames)
    )


def _rewrite(path: Path, config_class: type[BaseModel]) -> None:
    old_text = path.read_text("utf-8")
    new_text = renamed_text(old_text, _Renames(config_class), str(path))
    if new_text != old_text:
        with writing(path) as file:
            file.write(new_text.encode())


def _config_class_of(path: Path) -> type[Config]:
    """The settings class of a training file, or of a recipe, told by keys that only one of them has."""
    from dmforge.trainers.evaluation_settings import EvaluationSettings
    from dmforge.trainers.sdgrpo.sdgrpo_settings import SdgrpoSettings
    from dmforge.trainers.training_settings import SftSettings

    if not path.is_file():
        raise InputError("there is no such file", where=str(path), hint="give training files, recipes, or a workspace with -w")
    file_values = read_toml(path)
    formats.refuse_newer("the file", file_values.get("format", 1), formats.TRAINING, str(path))
    if "stages" in file_values:
        return RecipeFile
    if "corpora" in file_values:
        return EvaluationSettings
    return SdgrpoSettings if "rollout" in file_values or "rewards" in file_values else SftSettings


class _Renames:
    """Maps old to new key names for each table of a file, from the config classes that read it."""

    def __init__(self, root: type[BaseModel]) -> None:
        self._root = root

    def __call__(self, path: tuple[str, ...]) -> Mapping[str, str]:
        config_class: type[BaseModel] = self._root
        if self._root is RecipeFile and path[:1] == ("stages",) and len(path) > 1:
            stage = find_stage_class(path[1])
            if stage is None:  # a plug-in's that is not there: what its keys were called only it knows
                return {}
            config_class, path = stage.config_class, path[2:]
        return {
            old_key: new_key
            for table_class in tables_at(config_class, path)
            for old_key, new_key in renamed_keys(table_class).items()
        }
