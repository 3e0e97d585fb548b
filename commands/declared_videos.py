"""Registers the videos that a recipe itself names, `[bring]`; unchanged files are not read again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dmforge.commands import intake
from dmforge.curation.io import locations
from dmforge.curation.io.atomic import disk_errors, write_json
from dmforge.curation.io.terminal import Terminal
from dmforge.curation.sources import videos
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder, retry_while_held
from dmforge.recipe import read_recipe
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import digest
from dmforge.schemas.visible import storable


def bring(workspace: WorkspaceFolder, console: Terminal, command: str) -> None:
    """Register the videos that the recipe itself names; a run ingests them. Unchanged files are not read again."""
    claims, new_places, record = _declared_files(workspace)
    if new_places:
        registered = intake.add_videos(workspace, command, new_places, claims)
        intake.print_left_out(console, "[bring]", registered, _declared_places(workspace))
        for place in registered.unread:  # the next run tries it again
            del record["files"][storable(place)]
        write_json(_declared_record(workspace), record)


def bring_in_turn(workspace: WorkspaceFolder, console: Terminal, command: str, wait_timeout_s: float) -> None:
    """Like `bring`, where several ranks start at once: one does it, the others wait for it."""
    retry_while_held(lambda: bring(workspace, console, command), wait_timeout_s)


def to_bring(workspace: WorkspaceFolder) -> int:
    """How many files of the recipe's own no run has registered yet."""
    return len(_declared_files(workspace)[1])


FileStamps = dict[str, list[int]]
"""By path, the size and modification time of files: they tell changed files without reading them."""


def _declared_files(workspace: WorkspaceFolder) -> tuple[SourceInfo, list[str], dict[str, Any]]:
    """The claims about the recipe's files, the places of new or changed ones, and the record to keep of all of them."""
    declared = read_recipe(workspace.require().recipe).bring
    declared_places = _declared_places(workspace)
    claims = SourceInfo(declared.source, declared.licence, declared.terms, declared.namespace)
    claims_digest, path = digest("claims", asdict(claims)).hex(), _declared_record(workspace)
    with disk_errors(path):
        earlier_record = json.loads(path.read_bytes()) if path.exists() and videos.listed(workspace) else {}
    known_stamps: FileStamps = earlier_record["files"] if earlier_record.get("said") == claims_digest else {}
    try:
        stamps: FileStamps = {place: _file_stamp(place) for place in locations.files(declared_places, videos.SUFFIXES)}
    except InputError as error:
        if known_stamps:  # all of it was taken in once: originals may be elsewhere by now
            return claims, [], earlier_record
        where, hint = f"{workspace.recipe}: [bring] videos", f"correct the path; it is seen from {workspace.root}"
        raise InputError(f"{error.where}: {error.message}", where=where, hint=hint) from None
    new_places = [place for place, stamp in stamps.items() if known_stamps.get(storable(place)) != stamp]
    return claims, new_places, {"said": claims_digest, "files": {storable(place): stamp for place, stamp in stamps.items()}}


def _declared_places(workspace: WorkspaceFolder) -> list[str]:
    declared = read_recipe(workspace.recipe).bring.videos
    return [place if locations.is_remote(place) else str(workspace.root / place) for place in declared]


def _file_stamp(place: str) -> list[int]:
    """The size and modification time of a local file; nothing for an address."""
    if locations.is_remote(place):
        return []
    stat = Path(place).stat()
    return [stat.st_size, stat.st_mtime_ns]


def _declared_record(workspace: WorkspaceFolder) -> Path:
    return workspace.runs / "brought" / "files.json"
