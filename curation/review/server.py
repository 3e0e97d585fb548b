"""The review as pages: a list of samples, each as its card beside its video, and decisions that are on the disk once told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, ValidationError

from dmforge.curation.audit.finding import whole_id
from dmforge.curation.audit.report.page import TEMPLATES as REPORT
from dmforge.curation.audit.report.page import environment
from dmforge.curation.lake.forgotten import forgotten_videos
from dmforge.curation.review.guard import Guard, refuse_expectations
from dmforge.curation.review.pool import NOTHING, Line, Pool
from dmforge.curation.sources.reviews import MAX_NOTE_CHARS, REASONS, Review, append, review_path, reviews_of
from dmforge.curation.video.media import Media
from dmforge.curation.workspace import Workspace
from dmforge.schemas.config import Config
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.ids import Id, show

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = {"page.css": REPORT, "review.css": TEMPLATES, "review.js": TEMPLATES}
KINDS = {".css": "text/css", ".js": "text/javascript"}
PAGE = 50
MOST_BODY = 16_384


class Decided(Config):
    """What a page sends."""

    id: str
    """The subject."""
    decision: Literal["keep", "reject"]
    """What is to become of it."""
    reason: Literal["", "wrong answer", "wrong window", "not what is seen", "bad question", "unsafe", "other"] = ""
    """Why it is rejected."""
    note: Annotated[str, Field(max_length=MAX_NOTE_CHARS)] = ""
    """Whatever else there is to say."""


class Reviewing:
    """One reviewer at work on one pool."""

    def __init__(self, workspace: Workspace, pool: Pool, reviewer: str, title: str, guard: Guard) -> None:
        self._workspace, self._pool, self._reviewer, self._title = workspace, pool, reviewer, title
        self._templates = environment(TEMPLATES)
        self._templates.get_template("sample.html")  # compiled now: the first card need not wait for it
        path = review_path(workspace, reviewer)
        before = reviews_of(path) if path.exists() else {}
        self._decided = {subject: before[subject] for subject in pool.among(before)}
        self._writing = asyncio.Lock()
        self._forgotten: tuple[int, frozenset[Id]] = (-1, frozenset())
        self.app = web.Application(middlewares=[guard.middleware()], client_max_size=MOST_BODY)
        for path, handler in (
            ("/", self._shell), ("/assets/{name}", self._asset), ("/samples", self._list), ("/samples/{id}", self._sample),
            ("/media/{id}.mp4", self._media),
        ):  # fmt: skip
            self.app.router.add_get(path, handler, expect_handler=refuse_expectations)
        self.app.router.add_post("/reviews", self._decide, expect_handler=refuse_expectations)
        self.app.router.add_route("*", "/{other:.*}", self._nothing, expect_handler=refuse_expectations)

    async def _shell(self, request: web.Request) -> web.Response:
        told = {"reviewer": self._reviewer, "title": self._title, "total": self._pool.total, "reasons": REASONS}
        return web.Response(text=self._templates.get_template("review.html").render(told), content_type="text/html")

    async def _nothing(self, request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in ASSETS:
            raise web.HTTPNotFound
        return web.Response(text=(ASSETS[name] / name).read_text("utf-8"), content_type=KINDS[Path(name).suffix])

    async def _list(self, request: web.Request) -> web.Response:
        after = request.query.get("after")
        found = await asyncio.to_thread(self._pool.page, _id(after) if after else NOTHING, PAGE + 1)
        lines = found[:PAGE]  # one more says whether there is another page
        shown = [self._told(line) for line in lines if not self._is_forgotten(line.video)]
        following = show(lines[-1].subject_kind, lines[-1].subject) if len(found) > PAGE else None
        return web.json_response(
            {"samples": shown, "next": following, "total": self._pool.total, "decided": len(self._decided)}
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
            told = Decided.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=error.errors()[0]["msg"]) from None
        if (told.decision == "reject") != bool(told.reason):
            raise web.HTTPBadRequest(text="a rejection has a reason, and nothing else has one")
        line = self._line(told.id)
        review = Review(
            line.video, line.subject, line.subject_kind, self._reviewer, told.decision, told.reason, _storable(told.note)
        )
        async with self._writing:
            try:
                await asyncio.shield(asyncio.to_thread(append, self._workspace, review))
            except DmforgeError as error:
                raise web.HTTPInternalServerError(text=str(error)) from None
            self._decided[line.subject] = review
        return web.json_response({"decided": len(self._decided), "sample": self._told(line)})

    def _told(self, line: Line) -> dict[str, Any]:
        review = self._decided.get(line.subject)
        said = {"decision": review.decision, "reason": review.reason, "note": review.note} if review else None
        return {
            "id": show(line.subject_kind, line.subject), "question": line.question, "kind": line.task_kind, "review": said,
        }  # fmt: skip

    def _line(self, text: str) -> Line:
        line = self._pool.find(_id(text))
        if line is None:
            raise web.HTTPNotFound(text="it is not in this review")
        if self._is_forgotten(line.video):
            raise web.HTTPGone(text="its video was taken down")
        return line

    def _is_forgotten(self, video: Id) -> bool:
        """A takedown counts from when it is written down, also in a review that has begun."""
        path = self._workspace.forgotten
        written = path.stat().st_mtime_ns if path.exists() else 0
        if self._forgotten[0] != written:
            self._forgotten = written, forgotten_videos(self._workspace)
        return video in self._forgotten[1]


def listen(port: int) -> socket.socket:
    """On loopback, and nowhere else."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        mend = "give another port, or 0"
        raise InputError(f"can't listen there: {error.strerror}", where=f"port {port}", mend=mend) from None


def serve(listening: socket.socket, make: Callable[[Guard], web.Application], say: Callable[[str], None]) -> None:
    """Until Ctrl-C, which is how a review ends. The address is said once requests are heard."""
    guard = Guard(listening.getsockname()[1])

    async def app() -> web.Application:
        made = make(guard)

        async def begun(_: web.Application) -> None:
            say(guard.address)

        made.on_startup.append(begun)
        return made

    web.run_app(app(), sock=listening, print=None, access_log=None, shutdown_timeout=1.0)


def _id(text: str) -> Id:
    try:
        return whole_id(text[:80])[1]
    except InputError:
        raise web.HTTPNotFound(text="that is no id") from None


def _storable(note: str) -> str:
    return note.encode("utf-8", "backslashreplace").decode().strip()
