"""The videos that people asked to forget, as they stand in `inputs/forgotten.jsonl`."""

from __future__ import annotations

import json

from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, read


def forgotten_videos(workspace: WorkspaceFolder) -> frozenset[Id]:
    """The videos that people asked to forget."""
    return frozenset(reasons_by_video(workspace))


def reasons_by_video(workspace: WorkspaceFolder) -> dict[Id, str]:
    """Why each was to be forgotten: `inputs/forgotten.jsonl`, one `{"video": id, "reason": text}` a line."""
    path = workspace.forgotten
    if not path.exists():
        return {}
    reasons: dict[Id, str] = {}
    # cut at line feeds only: a reason may hold any of the other characters that end a line somewhere
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            if line.strip():
                entry = json.loads(line)
                reasons.setdefault(read(entry["video"])[1], str(entry.get("reason", "")))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
            raise InputError(
                f"not a takedown: {error}",
                where=f"{path}:{number}",
                hint='write {"video": "video_...", "reason": "..."}',
            ) from None
    return reasons
