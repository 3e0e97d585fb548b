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
    source_info, new_places, declared_record = _declared_files(workspace)
    if new_places:
        registered_files = intake.add_videos(workspace, command, new_places, source_info)
        intake.print_left_out(console, "[bring]", registered_files, _declared_places(workspace))
        for unread_place in registered_files.unread:  # the next run tries it again
            del declared_record["files"][storable(unread_place)]
        write_json(_declared_record(workspace), declared_record)


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
    bring_settings = read_recipe(workspace.require().recipe).bring
    declared_places = _declared_places(workspace)
    source_info = SourceInfo(bring_settings.source, bring_settings.licence, bring_settings.terms, bring_settings.namespace)
    claims_digest, record_path = digest("claims", asdict(source_info)).hex(), _declared_record(workspace)
    with disk_errors(record_path):
        earlier_record = json.loads(record_path.read_bytes()) if record_path.exists() and videos.listed(workspace) else {}
    known_stamps: FileStamps = earlier_record["files"] if earlier_record.get("said") == claims_digest else {}
    try:
        stamp_by_place: FileStamps = {
            file_place: _file_stamp(file_place) for file_place in locations.files(declared_places, videos.SUFFIXES)
        }
    except InputError as error:
        if known_stamps:  # all of it was taken in once: originals may be elsewhere by now
            return source_info, [], earlier_record
        setting_location, hint = f"{workspace.recipe}: [bring] videos", f"correct the path; it is seen from {workspace.root}"
        raise InputError(f"{error.where}: {error.message}", where=setting_location, hint=hint) from None
    new_places = [
        file_place for file_place, file_stamp in stamp_by_place.items() if known_stamps.get(storable(file_place)) != file_stamp
    ]
    return (
        source_info,
        new_places,
        {
            "said": claims_digest,
            "files": {storable(file_place): file_stamp for file_place, file_stamp in stamp_by_place.items()},
        },
    )


def _declared_places(workspace: WorkspaceFolder) -> list[str]:
    declared_videos = read_recipe(workspace.recipe).bring.videos
    return [
        declared_video if locations.is_remote(declared_video) else str(workspace.root / declared_video)
        for declared_video in declared_videos
    ]


def _file_stamp(file_place: str) -> list[int]:
    """The size and modification time of a local file; nothing for an address."""
    if locations.is_remote(file_place):
        return []
    stat_result = Path(file_place).stat()
    return [stat_result.st_size, stat_result.st_mtime_ns]


def _declared_record(workspace: WorkspaceFolder) -> Path:
    return workspace.runs / "brought" / "files.json"
