"""The review's web server: a list of samples, each a card beside its video, and decisions, on the disk once acknowledged."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, ValidationError

from dmforge.curation.audit.id_lookup import whole_id
from dmforge.curation.report.page import TEMPLATES as REPORT
from dmforge.curation.report.page import environment
from dmforge.curation.review.pool import BEFORE_ALL_IDS, ReviewLine, ReviewPool
from dmforge.curation.review.request_guard import RequestGuard, refuse_expectations
from dmforge.curation.sources.reviews import MAX_NOTE_CHARS, REASONS, Review, append, review_path, reviews_of
from dmforge.curation.sources.takedowns import forgotten_videos
from dmforge.curation.video.media import Media
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.config import Config
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.ids import Id, show

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = {"page.css": REPORT, "review.css": TEMPLATES, "review.js": TEMPLATES}
KINDS = {".css": "text/css", ".js": "text/javascript"}
PAGE_LINES = 50
MAX_BODY_BYTES = 16_384


class DecisionBody(Config):
    """A decision, as a page sends it."""

    id: str
    """The subject."""
    decision: Literal["keep", "reject"]
    """What is to become of it."""
    reason: Literal["", "wrong answer", "wrong window", "not what is seen", "bad question", "unsafe", "other"] = ""
    """Why it is rejected."""
    note: Annotated[str, Field(max_length=MAX_NOTE_CHARS)] = ""
    """Whatever else there is to say."""


class ReviewServer:
    """The web application of one reviewer and one pool."""

    def __init__(self, workspace: WorkspaceFolder, pool: ReviewPool, reviewer: str, title: str, guard: RequestGuard) -> None:
        self._workspace, self._pool, self._reviewer, self._title = workspace, pool, reviewer, title
        self._templates = environment(TEMPLATES)
        self._templates.get_template("sample.html")  # compiled now: the first card need not wait for it
        reviews_file = review_path(workspace, reviewer)
        earlier_reviews = reviews_of(reviews_file) if reviews_file.exists() else {}
        self._decided = {subject: earlier_reviews[subject] for subject in pool.among(earlier_reviews)}
        self._writing = asyncio.Lock()
        self._forgotten: tuple[int, frozenset[Id]] = (-1, frozenset())
        self.app = web.Application(middlewares=[guard.middleware()], client_max_size=MAX_BODY_BYTES)
        for route_path, handler in (
            ("/", self._shell), ("/assets/{name}", self._asset), ("/samples", self._list), ("/samples/{id}", self._sample),
            ("/media/{id}.mp4", self._media),
        ):  # fmt: skip
            self.app.router.add_get(route_path, handler, expect_handler=refuse_expectations)
        self.app.router.add_post("/reviews", self._decide, expect_handler=refuse_expectations)
        self.app.router.add_route("*", "/{other:.*}", self._not_found, expect_handler=refuse_expectations)

    async def _shell(self, request: web.Request) -> web.Response:
        template_values = {"reviewer": self._reviewer, "title": self._title, "total": self._pool.total, "reasons": REASONS}
        return web.Response(text=self._templates.get_template("review.html").render(template_values), content_type="text/html")

    async def _not_found(self, request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async def _asset(self, request: web.Request) -> web.Response:
        asset_name = request.match_info["name"]
        if asset_name not in ASSETS:
            raise web.HTTPNotFound
        return web.Response(
            text=(ASSETS[asset_name] / asset_name).read_text("utf-8"), content_type=KINDS[Path(asset_name).suffix]
        )

    async def _list(self, request: web.Request) -> web.Response:
        after_id_text = request.query.get("after")
        page_lines = await asyncio.to_thread(
            self._pool.page, _id(after_id_text) if after_id_text else BEFORE_ALL_IDS, PAGE_LINES + 1
        )
        shown_lines = page_lines[:PAGE_LINES]  # one more says whether there is another page
        samples_json = [
            self._sample_json(review_line) for review_line in shown_lines if not self._is_forgotten(review_line.video)
        ]
        next_id = show(shown_lines[-1].subject_kind, shown_lines[-1].subject) if len(page_lines) > PAGE_LINES else None
        return web.json_response(
            {"samples": samples_json, "next": next_id, "total": self._pool.total, "decided": len(self._decided)}
        )

    async def _sample(self, request: web.Request) -> web.Response:
        review_line = self._line(request.match_info["id"])
        card = await asyncio.to_thread(self._pool.card, review_line)
        if card is None:
            raise web.HTTPNotFound
        card_html = self._templates.get_template("sample.html").render(card=card)
        return web.Response(body=card_html.encode("utf-8", "backslashreplace"), content_type="text/html", charset="utf-8")

    async def _media(self, request: web.Request) -> web.StreamResponse:
        video = _id(f"video_{request.match_info['id']}")
        grid_file = Media(self._workspace, video).grid
        if self._is_forgotten(video) or not self._pool.holds_video(video) or not grid_file.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(grid_file)

    async def _decide(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="decisions are JSON")
        try:
            submitted_decision = DecisionBody.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=error.errors()[0]["msg"]) from None
        if (submitted_decision.decision == "reject") != bool(submitted_decision.reason):
            raise web.HTTPBadRequest(text="a rejection has a reason, and nothing else has one")
        review_line = self._line(submitted_decision.id)
        review = Review(
            review_line.video,
            review_line.subject,
            review_line.subject_kind,
            self._reviewer,
            submitted_decision.decision,
            submitted_decision.reason,
            _utf8_text(submitted_decision.note),
        )
        async with self._writing:
            try:
                await asyncio.shield(asyncio.to_thread(append, self._workspace, review))
            except DmforgeError as error:
                raise web.HTTPInternalServerError(text=str(error)) from None
            self._decided[review_line.subject] = review
        return web.json_response({"decided": len(self._decided), "sample": self._sample_json(review_line)})

    def _sample_json(self, review_line: ReviewLine) -> dict[str, Any]:
        review = self._decided.get(review_line.subject)
        decision_json = {"decision": review.decision, "reason": review.reason, "note": review.note} if review else None
        return {
            "id": show(review_line.subject_kind, review_line.subject),
            "question": review_line.question, "kind": review_line.task_kind,
            "review": decision_json,
        }  # fmt: skip

    def _line(self, id_text: str) -> ReviewLine:
        review_line = self._pool.find(_id(id_text))
        if review_line is None:
            raise web.HTTPNotFound(text="it is not in this review")
        if self._is_forgotten(review_line.video):
            raise web.HTTPGone(text="its video was taken down")
        return review_line

    def _is_forgotten(self, video: Id) -> bool:
        """Whether a video was taken down, also after the review began."""
        forgotten_file = self._workspace.forgotten
        changed_ns = forgotten_file.stat().st_mtime_ns if forgotten_file.exists() else 0
        if self._forgotten[0] != changed_ns:
            self._forgotten = changed_ns, forgotten_videos(self._workspace)
        return video in self._forgotten[1]


def listen(port: int) -> socket.socket:
    """Open a listening socket, on loopback only."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        hint = "give another port, or 0"
        raise InputError(f"can't listen there: {error.strerror}", where=f"port {port}", hint=hint) from None


def serve(
    listening_socket: socket.socket, make_app: Callable[[RequestGuard], web.Application], announce: Callable[[str], None]
) -> None:
    """Serve until Ctrl-C, which ends a review. The address is announced once requests are accepted."""
    guard = RequestGuard(listening_socket.getsockname()[1])

    async def app() -> web.Application:
        application = make_app(guard)

        async def announce_address(_: web.Application) -> None:
            announce(guard.address)

        application.on_startup.append(announce_address)
        return application

    web.run_app(app(), sock=listening_socket, print=None, access_log=None, shutdown_timeout=1.0)


def _id(text: str) -> Id:
    try:
        return whole_id(text[:80])[1]
    except InputError:
        raise web.HTTPNotFound(text="that is no id") from None


def _utf8_text(note: str) -> str:
    return note.encode("utf-8", "backslashreplace").decode().strip()
