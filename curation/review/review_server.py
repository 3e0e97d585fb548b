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
        path = review_path(workspace, reviewer)
        earlier_reviews = reviews_of(path) if path.exists() else {}
        self._decided = {subject: earlier_reviews[subject] for subject in pool.among(earlier_reviews)}
        self._writing = asyncio.Lock()
        self._forgotten: tuple[int, frozenset[Id]] = (-1, frozenset())
        self.app = web.Application(middlewares=[guard.middleware()], client_max_size=MAX_BODY_BYTES)
        for path, handler in (
            ("/", self._shell), ("/assets/{name}", self._asset), ("/samples", self._list), ("/samples/{id}", self._sample),
            ("/media/{id}.mp4", self._media),
        ):  # fmt: skip
            self.app.router.add_get(path, handler, expect_handler=refuse_expectations)
        self.app.router.add_post("/reviews", self._decide, expect_handler=refuse_expectations)
        self.app.router.add_route("*", "/{other:.*}", self._not_found, expect_handler=refuse_expectations)

    async def _shell(self, request: web.Request) -> web.Response:
        values = {"reviewer": self._reviewer, "title": self._title, "total": self._pool.total, "reasons": REASONS}
        return web.Response(text=self._templates.get_template("review.html").render(values), content_type="text/html")

    async def _not_found(self, request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in ASSETS:
            raise web.HTTPNotFound
        return web.Response(text=(ASSETS[name] / name).read_text("utf-8"), content_type=KINDS[Path(name).suffix])

    async def _list(self, request: web.Request) -> web.Response:
        after = request.query.get("after")
        page_lines = await asyncio.to_thread(self._pool.page, _id(after) if after else BEFORE_ALL_IDS, PAGE_LINES + 1)
        lines = page_lines[:PAGE_LINES]  # one more says whether there is another page
        samples = [self._sample_json(line) for line in lines if not self._is_forgotten(line.video)]
        next_id = show(lines[-1].subject_kind, lines[-1].subject) if len(page_lines) > PAGE_LINES else None
        return web.json_response(
            {"samples": samples, "next": next_id, "total": self._pool.total, "decided": len(self._decided)}
        )

    async def _sample(self, request: web.Request) -> web.Response:
        line = self._line(request.match_info["id"])
        card = await asyncio.to_thread(self._pool.card, line)
        if card is None:
            raise web.HTTPNotFound
        text = self._templates.get_template("sample.html").render(card=card)
        return web.Response(body=text.encode("utf-8", "backslashreplace"), content_type="text/html", charset="utf-8")

    async def _media(self, request: web.Request) -> web.StreamResponse:
        video = _id(f"video_{request.match_info['id']}")
        path = Media(self._workspace, video).grid
        if self._is_forgotten(video) or not self._pool.holds_video(video) or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path)

    async def _decide(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="decisions are JSON")
        try:
            submitted = DecisionBody.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=error.errors()[0]["msg"]) from None
        if (submitted.decision == "reject") != bool(submitted.reason):
            raise web.HTTPBadRequest(text="a rejection has a reason, and nothing else has one")
        line = self._line(submitted.id)
        review = Review(
            line.video,
            line.subject,
            line.subject_kind,
            self._reviewer,
            submitted.decision,
            submitted.reason,
            _utf8_text(submitted.note),
        )
        async with self._writing:
            try:
                await asyncio.shield(asyncio.to_thread(append, self._workspace, review))
            except DmforgeError as error:
                raise web.HTTPInternalServerError(text=str(error)) from None
            self._decided[line.subject] = review
        return web.json_response({"decided": len(self._decided), "sample": self._sample_json(line)})

    def _sample_json(self, line: ReviewLine) -> dict[str, Any]:
        review = self._decided.get(line.subject)
        decision_json = {"decision": review.decision, "reason": review.reason, "note": review.note} if review else None
        return {
            "id": show(line.subject_kind, line.subject), "question": line.question, "kind": line.task_kind,
            "review": decision_json,
        }  # fmt: skip

    def _line(self, text: str) -> ReviewLine:
        line = self._pool.find(_id(text))
        if line is None:
            raise web.HTTPNotFound(text="it is not in this review")
        if self._is_forgotten(line.video):
            raise web.HTTPGone(text="its video was taken down")
        return line

    def _is_forgotten(self, video: Id) -> bool:
        """Whether a video was taken down, also after the review began."""
        path = self._workspace.forgotten
        changed_ns = path.stat().st_mtime_ns if path.exists() else 0
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
