"""Access control of local pages: requests need the token, a page of this server, and one of its host names.

It listens on loopback, where any page that a browser has open can send requests. So the requested host must be the server's own
(a stranger's name may resolve to 127.0.0.1), requests from other sites are refused, and the printed token is required once in
the address and from then on in a cookie that no script reads and no other site's request carries.
"""

from __future__ import annotations

import secrets

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

POLICY = (
    "default-src 'none'; img-src data:; media-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
}  # fmt: skip
ALLOWED_FETCH_SITES = frozenset({"same-origin", "none"})
"""Accepted values of `Sec-Fetch-Site`: a page of this server, or the address bar."""


async def refuse_expectations(request: web.Request) -> None:
    """Refuse `Expect` headers: they are handled before any middleware, and the default answer echoes the header's bytes."""
    if "Expect" in request.headers:
        raise web.HTTPExpectationFailed(text="send it at once\n", headers=HEADERS)


class RequestGuard:
    """Checks requests against one server's host names and token."""

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(24)
        self.hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self.cookie = f"dmforge-{port}"  # browsers tell cookies apart by host, not by port
        self.address = f"http://127.0.0.1:{port}/?token={self.token}"

    def refusal(self, request: web.Request) -> str | None:
        """The reason to refuse a request, None where it is allowed."""
        if request.headers.get("Host", "") not in self.hosts:
            return "this server goes by another name"
        if request.headers.get("Sec-Fetch-Site", "none") not in ALLOWED_FETCH_SITES:
            return "other sites have no business here"
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self.hosts:
            return "other sites have no business here"
        if request.method not in ("GET", "HEAD") and origin is None:
            return "a decision says which page it comes from"
        query_token = request.query.get("token", "") if request.path == "/" else ""
        cookie_token = request.cookies.get(self.cookie, "")
        if not any(
            secrets.compare_digest(request_token.encode("utf-8", "backslashreplace"), self.token.encode())
            for request_token in (query_token, cookie_token)
        ):
            return "open the address that was printed"
        return None

    def middleware(self) -> Middleware:
        """A middleware that checks every request, and adds the security headers to every response."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            refusal_reason = self.refusal(request)
            if refusal_reason is not None:
                return web.Response(status=403, text=refusal_reason + "\n", headers=HEADERS)
            try:
                response = await handler(request)
            except web.HTTPException as error:
                error.headers.update(HEADERS)
                raise
            if not response.prepared:
                response.headers.update(HEADERS)
                if request.path == "/":
                    response.set_cookie(self.cookie, self.token, httponly=True, samesite="Strict", path="/")
            return response

        return guarded
