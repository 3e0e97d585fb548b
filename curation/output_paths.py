"""Checks of output paths: no command writes over what it reads, nor into the parts of a workspace that belong to runs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from dmforge.curation.io.atomic import MENDS
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError

WORKSPACE_ENTRIES = ("lake", "journal", "inputs", "media", "runs", "shards", "format.json", "recipe.toml")
"""The entries of a workspace that only runs, and the recipe's owner, write."""
HINT = f"give a place outside {', '.join(WORKSPACE_ENTRIES[:-1])} and recipe.toml: only runs and the recipe's owner write there"
PAGE = ".html"
"""The suffix of a file that no command reads: a page beside the files that it is about may be written anew."""


def output_file(path: Path, option: str, workspace: WorkspaceFolder | None = None, inputs: Iterable[Path] = ()) -> Path:
    """Check that an output file may be written, following links, also those of `workspace`'s own folders; its path.

    `inputs` are the files and folders that the command reads: no output replaces any of them.
    """
    if path.is_dir():
        raise InputError("the output is a file, and this is a folder", where=f"{option} {path}", hint="give the name of a file")
    output_folder(path, option, workspace)
    overwritten_input = next((place for place in inputs if _is_read(path, place)), None)
    if overwritten_input is not None:
        message = f"the output would replace a file that is read: {overwritten_input}"
        raise InputError(message, where=f"{option} {path}", hint="give another file")
    _require_folder(Path(os.path.abspath(path)).parent, f"{option} {path}")
    return path


def output_folder(path: Path, option: str, workspace: WorkspaceFolder | None = None) -> Path:
    """Check that an output folder may be written, following links; its path."""
    for resolved_path in _resolved_paths(path):
        owning_entry = _owning_entry(resolved_path, workspace)
        if owning_entry is not None:
            raise InputError(
                f"the output would touch {owning_entry}, which belongs to a workspace", where=f"{option} {path}", hint=HINT
            )
    return path


def _is_read(path: Path, place: Path) -> bool:
    """Whether an output is an input, or a file in a folder that is one."""
    if not place.is_dir():
        return _is_same(path, place)
    is_inside = any(_is_same(parent, place) for resolved_path in _resolved_paths(path) for parent in resolved_path.parents)
    return is_inside and path.exists() and path.suffix.lower() != PAGE


def _require_folder(folder: Path, where: str) -> None:
    """Refuse a folder that isn't there, or in which no file can be made; disks that fail say so as they are written to."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", where=where, hint="make it first, or correct the path")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        if error.errno not in MENDS:
            message = f"no file can be made in {folder}: {error.strerror}"
            raise InputError(message, where=where, hint="give a file in another folder") from None


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
