"""Checks of output paths: no command writes its output into the parts of a workspace that belong to runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError

WORKSPACE_ENTRIES = ("lake", "journal", "inputs", "media", "runs", "shards", "format.json", "recipe.toml")
"""The entries of a workspace that only runs, and the recipe's owner, write."""
HINT = f"give a place outside {', '.join(WORKSPACE_ENTRIES[:-1])} and recipe.toml: only runs and the recipe's owner write there"


def output_file(path: Path, option: str, workspace: WorkspaceFolder | None = None) -> Path:
    """Check that an output file may be written, following links, also those of `workspace`'s own folders; its path."""
    if path.is_dir():
        raise InputError("the output is a file, and this is a folder", where=f"{option} {path}", hint="give the name of a file")
    return output_folder(path, option, workspace)


def output_folder(path: Path, option: str, workspace: WorkspaceFolder | None = None) -> Path:
    """Check that an output folder may be written, following links; its path."""
    for resolved_path in _resolved_paths(path):
        owning_entry = _owning_entry(resolved_path, workspace)
        if owning_entry is not None:
            raise InputError(
                f"the output would touch {owning_entry}, which belongs to a workspace", where=f"{option} {path}", hint=HINT
            )
    return path


def _resolved_paths(path: Path) -> Iterator[Path]:
    """A path as written, with its folder's links resolved, and with its own link resolved."""
    lexical_path = Path(os.path.abspath(path))
    yield from (lexical_path, Path(os.path.realpath(lexical_path.parent), lexical_path.name), Path(os.path.realpath(path)))
    yield Path(os.path.realpath(path.parent), path.name)


def _owning_entry(path: Path, workspace: WorkspaceFolder | None) -> Path | None:
    """The entry of a workspace that a path is or lies in, if it does."""
    workspace_roots = [
        workspace_root
        for workspace_root in path.parents
        if (workspace_root / "recipe.toml").exists() or (workspace_root / "lake" / "commits").exists()
    ]
    path_and_parents = (path, *path.parents)
    for workspace_root in [*workspace_roots, *([workspace.root] if workspace else [])]:
        for entry in (workspace_root / entry_name for entry_name in WORKSPACE_ENTRIES):
            if any(_is_same(path_or_parent, entry) for path_or_parent in path_and_parents):
                return entry
    return None


def _is_same(path_a: Path, path_b: Path) -> bool:
    """Whether two paths mean one file, existing or not: the disk decides where it can, since it may ignore upper case."""
    try:
        return os.path.samefile(path_a, path_b)
    except OSError:
        return path_a == path_b
