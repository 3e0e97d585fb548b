"""Where a video's own copy lies in a workspace: named by its id, so that no path ever matters again."""

from __future__ import annotations

from pathlib import Path

from dmforge.curation.workspace import Workspace
from dmforge.schemas.ids import Id, base32


def media_path(workspace: Workspace, video: Id) -> Path:
    """`media/ab/<id>.mp4`; folders by the first two letters, so that none grows too large."""
    name = base32(video)
    return workspace.media / name[:2] / f"{name}.mp4"
