"""The videos that people asked to forget, as they stand in `inputs/forgotten.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dmforge.curation.io.sealed_json import unsealed
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, read


def forgotten_videos(workspace: WorkspaceFolder) -> frozenset[Id]:
    """The videos that people asked to forget."""
    return frozenset(video_id for video_id, _ in takedowns(workspace))


def reasons_by_video(workspace: WorkspaceFolder) -> dict[Id, str]:
    """Why each video was to be forgotten, by the first line about it."""
    reason_by_video: dict[Id, str] = {}
    for video_id, reason in takedowns(workspace):
        reason_by_video.setdefault(video_id, reason)
    return reason_by_video


def takedowns(workspace: WorkspaceFolder) -> Iterator[tuple[Id, str]]:
    """Each video that people asked to forget, with the reason: a line `{"video": id, "reason": text}`."""
    takedowns_path = workspace.forgotten
    if not takedowns_path.exists():
        return
    # cut at line feeds only: a reason may hold any of the other characters that end a line somewhere
    for line_number, takedown_line in enumerate(takedowns_path.read_bytes().split(b"\n"), 1):
        if not takedown_line.strip():
            continue
        try:
            takedown_entry = unsealed(json.loads(takedown_line))
            video_id, reason = read(takedown_entry["video"])[1], str(takedown_entry.get("reason", ""))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
            raise InputError(
                f"not a takedown: {error}",
                where=f"{takedowns_path}:{line_number}",
                hint='write {"video": "video_...", "reason": "..."}',
            ) from None
        yield video_id, reason
