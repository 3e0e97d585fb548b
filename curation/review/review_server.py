"""The review's pages: a list of samples, each a card beside its video, and decisions, on the disk once acknowledged."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

from dmforge.curation.local_pages.decision_desk import DecidedSubject, DecisionDesk
from dmforge.curation.local_pages.loopback import TEMPLATES as SHARED
from dmforge.curation.local_pages.loopback import application, html_response, requested_id
from dmforge.curation.local_pages.request_guard import RequestGuard
from dmforge.curation.local_pages.video_files import VideoFiles
from dmforge.curation.report.page import environment
from dmforge.curation.review.pool import BEFORE_ALL_IDS, ReviewLine, ReviewPool
from dmforge.curation.sources.reviews import REASONS
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import show

TEMPLATES = Path(__file__).parent / "templates"
PAGE_LINES = 50


class ReviewServer:
    """The web application of one reviewer and one pool."""

    def __init__(self, workspace: WorkspaceFolder, pool: ReviewPool, reviewer: str, title: str, guard: RequestGuard) -> None:
        self._pool, self._title = pool, title
        self._templates = environment(TEMPLATES, SHARED)
        self._templates.get_template("sample.html")  # compiled now: the first card need not wait for it
        self._desk = DecisionDesk(workspace, reviewer, pool.among)
        self._videos = VideoFiles(workspace, pool.holds_video)
        pages = {
            "/": self._shell, "/samples": self._list, "/samples/{id}": self._sample, "/media/{id}.mp4": self._videos.file,
        }  # fmt: skip
        self.app = application(guard, {"GET": pages, "POST": {"/reviews": self._decide}}, {"review.js": TEMPLATES})

    async def _shell(self, request: web.Request) -> web.Response:
        template_values = {
            "reviewer": self._desk.reviewer, "title": self._title, "total": self._pool.total, "reasons": REASONS,
        }  # fmt: skip
        return html_response(self._templates.get_template("review.html").render(template_values))

    async def _list(self, request: web.Request) -> web.Response:
        after_id_text = request.query.get("after")
        page_lines = await asyncio.to_thread(
            self._pool.page, requested_id(after_id_text) if after_id_text else BEFORE_ALL_IDS, PAGE_LINES + 1
        )
        shown_lines = page_lines[:PAGE_LINES]  # one more says whether there is another page
        samples_json = [
            self._sample_json(review_line) for review_line in shown_lines if not self._videos.is_forgotten(review_line.video)
        ]
        next_id = show(shown_lines[-1].subject_kind, shown_lines[-1].subject) if len(page_lines) > PAGE_LINES else None
        return web.json_response(
            {"samples": samples_json, "next": next_id, "total": self._pool.total, "decided": len(self._desk.reviews)}
        )

    async def _sample(self, request: web.Request) -> web.Response:
        card = await asyncio.to_thread(self._pool.card, self._line(request.match_info["id"]))
        if card is None:
            raise web.HTTPNotFound
        return html_response(self._templates.get_template("sample.html").render(card=card))

    async def _decide(self, request: web.Request) -> web.Response:
        review = await self._desk.decide(request, self._decided_subject)
        review_line = self._pool.find(review.subject)
        assert review_line is not None
        return web.json_response({"decided": len(self._desk.reviews), "sample": self._sample_json(review_line)})

    def _decided_subject(self, id_text: str) -> DecidedSubject:
        review_line = self._line(id_text)
        return DecidedSubject(review_line.subject, review_line.subject_kind, review_line.video)

    def _sample_json(self, review_line: ReviewLine) -> dict[str, Any]:
        return {
            "id": show(review_line.subject_kind, review_line.subject),
            "question": review_line.question, "kind": review_line.task_kind,
            "review": self._desk.as_json(review_line.subject),
        }  # fmt: skip

    def _line(self, id_text: str) -> ReviewLine:
        review_line = self._pool.find(requested_id(id_text))
        if review_line is None:
            raise web.HTTPNotFound(text="it is not in this review")
        if self._videos.is_forgotten(review_line.video):
            raise web.HTTPGone(text="its video was taken down")
        return review_line
