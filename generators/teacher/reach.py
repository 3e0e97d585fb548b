"""How far a request to a teacher goes: to the endpoint that was named, and for no more bytes than a reply can have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx2

MAX_REPLY = 16 << 20
"""Bytes of a reply: a hundred times the longest text that is looked at."""


CONNECT_S = 30.0
"""Seconds until somebody is taken not to be there."""
NEVER_SENT = (
    httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)  # fmt: skip
"""After these nothing has left this machine that anybody could charge for."""


class Endless(httpx2.TransportError):
    """A reply longer than any can be, or packed so that nobody knows how long it is."""


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        passed = 0
        async for chunk in self._stream:
            passed += len(chunk)
            if passed > MAX_REPLY:
                raise Endless(f"a reply of more than {MAX_REPLY >> 20} MB")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bound(response: httpx2.Response) -> None:
    # packed bytes can be a thousand times as many: none were asked for
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Endless("a reply that is packed")
    response.stream = _Bounded(response.stream)
    response.encoding = "utf-8"  # as JSON is; the SDK would decode a refusal by whatever codec a header names


def timeouts(timeout_s: float) -> httpx2.Timeout:
    """For an answer one waits long, for somebody to be there not."""
    return httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S))


def client(url: str) -> httpx2.AsyncClient:
    """For the SDK. An address that answers with another one has refused: frames, questions and key are for nobody else."""
    from openai import DefaultAsyncHttpxClient

    return DefaultAsyncHttpxClient(
        follow_redirects=False,
        trust_env=not _is_here(url),  # a proxy of the environment is for the world outside
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [_bound]},
    )


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
