"""Where a command may put what it was asked for: never into the folders of a workspace that only runs write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import InputError

OWN = ("lake", "journal", "inputs", "media", "runs", "shards", "format.json", "recipe.toml")
"""What in a workspace is written by runs, and by the person who owns the recipe."""
MEND = f"give a place outside {', '.join(OWN[:-1])} and recipe.toml: only runs and the recipe's owner write there"


def output_file(path: Path, option: str, workspace: Workspace | None = None) -> Path:
    """A file that may be written, links followed; `workspace` is one whose folders may lie elsewhere, behind links."""
    if path.is_dir():
        raise InputError("the output is a file, and this is a folder", where=f"{option} {path}", mend="give the name of a file")
    return output_folder(path, option, workspace)


def output_folder(path: Path, option: str, workspace: Workspace | None = None) -> Path:
    """The same of a folder."""
    for place in _places(path):
        owner = _owner(place, workspace)
        if owner is not None:
            raise InputError(
                f"the output would touch {owner}, which belongs to a workspace", where=f"{option} {path}", mend=MEND
            )
    return path


def _places(path: Path) -> Iterator[Path]:
    """Where a path leads: as it is written, as its folder is reached, and as it is reached itself."""
    lexical = Path(os.path.abspath(path))
    yield from (lexical, Path(os.path.realpath(lexical.parent), lexical.name), Path(os.path.realpath(path)))
    yield Path(os.path.realpath(path.parent), path.name)


def _owner(place: Path, workspace: Workspace | None) -> Path | None:
    """What of a workspace a place is, or lies in."""
    roots = [root for root in place.parents if (root / "recipe.toml").exists() or (root / "lake" / "commits").exists()]
    within = (place, *place.parents)
    for root in [*roots, *([workspace.root] if workspace else [])]:
        for own in (root / name for name in OWN):
            if any(_is_same(one, own) for one in within):
                return own
    return None


def _is_same(one: Path, other: Path) -> bool:
    """Whether two names mean one file or folder, there or not: a disk that knows decides, since it may not tell cases apart."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return one == other
