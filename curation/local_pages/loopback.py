"""A server on loopback: it listens on 127.0.0.1 alone, behind its guard, and ends with Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from dmforge.curation.audit.id_lookup import whole_id
from dmforge.curation.local_pages.request_guard import RequestGuard, refuse_expectations
from dmforge.curation.report.page import TEMPLATES as REPORT
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id

TEMPLATES = Path(__file__).parent / "templates"
SHARED_ASSETS: Mapping[str, Path] = {"page.css": REPORT, "desk.css": TEMPLATES, "desk.js": TEMPLATES}
CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript"}
MAX_BODY_BYTES = 16_384


def application(
    guard: RequestGuard, routes: Mapping[str, Mapping[str, Handler]], assets: Mapping[str, Path]
) -> web.Application:
    """An application behind a guard. `routes` are handlers by method and path, `assets` the folders of further files of its
    page; whatever else is asked for is not found."""
    app = web.Application(middlewares=[guard.middleware()], client_max_size=MAX_BODY_BYTES)
    folder_by_asset = {**SHARED_ASSETS, **assets}

    async def asset(request: web.Request) -> web.Response:
        asset_name = request.match_info["name"]
        if asset_name not in folder_by_asset:
            raise web.HTTPNotFound
        asset_text = (folder_by_asset[asset_name] / asset_name).read_text("utf-8")
        return web.Response(text=asset_text, content_type=CONTENT_TYPES[Path(asset_name).suffix])

    async def not_found(request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    app.router.add_get("/assets/{name}", asset, expect_handler=refuse_expectations)
    for method, handler_by_path in routes.items():
        for route_path, handler in handler_by_path.items():
            # HEAD is answered where GET is
            methods = ("GET", "HEAD") if method == "GET" else (method,)
            for route_method in methods:
                app.router.add_route(route_method, route_path, handler, expect_handler=refuse_expectations)
    app.router.add_route("*", "/{other:.*}", not_found, expect_handler=refuse_expectations)
    return app


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
    """Serve until Ctrl-C. The address is announced once requests are accepted."""
    guard = RequestGuard(listening_socket.getsockname()[1])

    async def app() -> web.Application:
        made_app = make_app(guard)

        async def announce_address(_: web.Application) -> None:
            announce(guard.address)

        made_app.on_startup.append(announce_address)
        return made_app

    web.run_app(app(), sock=listening_socket, print=None, access_log=None, shutdown_timeout=1.0)


def requested_id(text: str) -> Id:
    """The id that a request names."""
    try:
        return whole_id(text[:80])[1]
    except InputError:
        raise web.HTTPNotFound(text="that is no id") from None


def html_response(html_text: str) -> web.Response:
    """A page; halves of letters, which models can write, are shown by their numbers."""
    return web.Response(body=html_text.encode("utf-8", "backslashreplace"), content_type="text/html", charset="utf-8")
