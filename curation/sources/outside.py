"""What an address that was named may lead to over HTTP: nothing in here, and no page without end.

A server may answer with another address. That one may not be of this machine or of the networks around it, which nobody outside
could reach: loopback, private ranges, the address under which clouds tell a machine its own keys. Who names such an address
means it; a name that meant the world outside once may not mean the inside later.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

MAX_PAGE = 64 << 20
"""Bytes of a whole reply that is read at once: a list of files."""
MAX_RANGE = 4 << 30
"""The same of a part that was asked for."""


async def session(*, named: str, loop: Any = None, **options: Any) -> aiohttp.ClientSession:
    """For fsspec: what goes out for an address of the host that was named."""
    del loop  # the running one
    return aiohttp.ClientSession(
        connector=_Guarded(named), response_class=_Bounded, auto_decompress=False,
        headers={"Accept-Encoding": "identity"}, **options,
    )  # fmt: skip


def is_outside(address: str) -> bool:
    """Whether an IP address is one of the world outside."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return (mapped or found).is_global and not found.is_multicast


class _Guarded(aiohttp.TCPConnector):
    def __init__(self, named: str) -> None:
        super().__init__(resolver=_Resolver(named))
        self._named = named

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:  # numbers are not resolved
        host = req.url.host or ""
        if host != self._named and _is_number(host) and not is_outside(host):
            raise _refusal(host)
        return await super().connect(req, traces, timeout)


class _Resolver(AbstractResolver):
    def __init__(self, named: str) -> None:
        self._named, self._was_outside = named, False
        self._inner = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        outside = all(is_outside(one["host"]) for one in found)
        if not outside and (host != self._named or self._was_outside):
            raise _refusal(host)
        self._was_outside |= outside and host == self._named
        return found

    async def close(self) -> None:
        await self._inner.close()


class _Bounded(aiohttp.ClientResponse):
    async def read(self) -> bytes:
        if self._body is None:
            most, chunks, size = MAX_RANGE if self.status == 206 else MAX_PAGE, list[bytes](), 0
            async for chunk in self.content.iter_chunked(1 << 16):
                size += len(chunk)
                if size > most:
                    self.close()
                    raise aiohttp.ClientPayloadError(f"a reply of more than {most >> 20} MB")
                chunks.append(chunk)
            self._body = b"".join(chunks)
        return self._body


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _refusal(host: str) -> aiohttp.ClientError:
    return aiohttp.ClientError(f"it leads to {host}, which is inside: name that address itself if it is meant")
