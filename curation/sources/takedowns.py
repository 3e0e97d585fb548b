"""The videos that people asked to forget, as they stand in `inputs/forgotten.jsonl`."""

from __future__ import annotations

import json

from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, read


def forgotten_videos(workspace: WorkspaceFolder) -> frozenset[Id]:
    """The videos that people asked to forget: `inputs/forgotten.jsonl`, one `{"video": id, "reason": text}` a line."""
    path = workspace.forgotten
    if not path.exists():
        return frozenset()
    videos: set[Id] = set()
    # cut at line feeds only: a reason may hold any of the other characters that end a line somewhere
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            if line.strip():
                videos.add(read(json.loads(line)["video"])[1])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
            raise InputError(
                f"not a takedown: {error}",
                where=f"{path}:{number}",
                hint='write {"video": "video_...", "reason": "..."}',
            ) from None
    return frozenset(videos)
