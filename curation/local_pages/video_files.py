"""The videos of a local page: renditions of what it shows, as long as nobody has taken them down."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from dmforge.curation.local_pages.loopback import requested_id
from dmforge.curation.sources.takedowns import forgotten_videos
from dmforge.curation.video.media import Media
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import Id


class VideoFiles:
    """Serves renditions, and knows which videos were taken down, also after the page was opened."""

    def __init__(self, workspace: WorkspaceFolder, holds_video: Callable[[Id], bool]) -> None:
        """`holds_video` says whether a video is one that the page shows."""
        self._workspace, self._holds_video = workspace, holds_video
        self._forgotten: tuple[int, frozenset[Id]] = (-1, frozenset())

    async def file(self, request: web.Request) -> web.StreamResponse:
        """The rendition that every look is cut from."""
        video = requested_id(f"video_{request.match_info['id']}")
        grid_file = Media(self._workspace, video).grid
        if self.is_forgotten(video) or not self._holds_video(video) or not grid_file.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(grid_file)

    def is_forgotten(self, video: Id) -> bool:
        return video in self.forgotten()

    def forgotten(self) -> frozenset[Id]:
        """The videos that are taken down by now."""
        forgotten_file = self._workspace.forgotten
        changed_ns = forgotten_file.stat().st_mtime_ns if forgotten_file.exists() else 0
        if self._forgotten[0] != changed_ns:
            self._forgotten = changed_ns, forgotten_videos(self._workspace)
        return self._forgotten[1]
