"""HTTP client for teachers, with bounds: it follows no redirect, and reads no more bytes than a reply can have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx2

from dmforge.curation.io.byte_limit import ByteLimit

MAX_REPLY = 16 << 20
"""The most bytes of a reply: a hundred times the longest text that is looked at."""


CONNECT_S = 30.0
"""Seconds until a connection must be open."""
NEVER_SENT = (
    httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)  # fmt: skip
"""Errors after which nothing was sent that could be charged for."""


class EndlessResponse(httpx2.TransportError):
    """A reply that is too long, or compressed so that its length is unknown."""


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, max_bytes: int) -> None:
        self._stream, self._max_bytes = stream, max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        error = EndlessResponse(f"the reply has more than {self._max_bytes >> 20} MB")
        byte_limit = ByteLimit(self._max_bytes, lambda: error)
        async for chunk in self._stream:
            yield byte_limit.passed(chunk)

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bound(max_bytes: int, response: httpx2.Response) -> None:
    # packed bytes can be a thousand times as many: we asked for none
    if response.headers.get("content-encoding", "identity") != "identity":
        raise EndlessResponse("the reply is compressed")
    response.stream = _BoundedStream(response.stream, max_bytes)
    response.encoding = "utf-8"  # as JSON is; the SDK would decode a refusal by whatever codec a header names


def timeouts(timeout_s: float) -> httpx2.Timeout:
    """Timeouts of a request: long for the answer, short for the connection."""
    return httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S))


def client(url: str, max_bytes: int | None = None) -> httpx2.AsyncClient:
    """An HTTP client, as the SDK wants it. A redirect is a refusal: frames, questions and key must go to no other host."""
    from openai import DefaultAsyncHttpxClient

    return DefaultAsyncHttpxClient(
        follow_redirects=False,
        trust_env=not _is_here(url),  # the proxy of the environment is for hosts elsewhere
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [partial(_bound, max_bytes or MAX_REPLY)]},
    )


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
