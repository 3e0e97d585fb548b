"""A guard for HTTP: an address that a user gives may not lead to the inside of this network, nor to an endless reply.

A server may redirect to another address. That one may not be of this machine or of the networks around it, which nobody outside
could reach: loopback, private ranges, the address under which clouds tell a machine its own keys. A user who gives such an
address means it; a host name that once resolved to the outside may not resolve to the inside later.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from dmforge.curation.io.byte_limit import ByteLimit

MAX_PAGE = 64 << 20
"""The most bytes of a whole reply, which is read at once: a list of files."""
MAX_RANGE = 4 << 30
"""The most bytes of a requested range."""


async def session(*, named_host: str, loop: Any = None, **options: Any) -> aiohttp.ClientSession:
    """A client session for fsspec, guarded for addresses of the host that the user gave."""
    del loop  # the running one
    return aiohttp.ClientSession(
        connector=_Guarded(named_host), response_class=_BoundedResponse, auto_decompress=False,
        headers={"Accept-Encoding": "identity"}, **options,
    )  # fmt: skip


def is_outside(address: str) -> bool:
    """Whether an IP address is a public one."""
    ip_address = ipaddress.ip_address(address.partition("%")[0])
    embedded_ipv4 = getattr(ip_address, "ipv4_mapped", None) or getattr(ip_address, "sixtofour", None)
    return (embedded_ipv4 or ip_address).is_global and not ip_address.is_multicast


class _Guarded(aiohttp.TCPConnector):
    def __init__(self, named_host: str) -> None:
        super().__init__(resolver=_Resolver(named_host))
        self._named_host = named_host

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:  # numbers are not resolved
        host = req.url.host or ""
        if host != self._named_host and _is_ip_address(host) and not is_outside(host):
            raise _refusal(host)
        return await super().connect(req, traces, timeout)


class _Resolver(AbstractResolver):
    def __init__(self, named_host: str) -> None:
        self._named_host, self._was_outside = named_host, False
        self._inner = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        resolved_hosts = await self._inner.resolve(host, port, family)
        is_all_outside = all(is_outside(resolved_host["host"]) for resolved_host in resolved_hosts)
        if not is_all_outside and (host != self._named_host or self._was_outside):
            raise _refusal(host)
        self._was_outside |= is_all_outside and host == self._named_host
        return resolved_hosts

    async def close(self) -> None:
        await self._inner.close()


class _BoundedResponse(aiohttp.ClientResponse):
    async def read(self) -> bytes:
        if self._body is None:
            max_bytes = MAX_RANGE if self.status == 206 else MAX_PAGE
            byte_limit = ByteLimit(max_bytes, lambda: aiohttp.ClientPayloadError(f"a reply of more than {max_bytes >> 20} MB"))
            try:
                self._body = b"".join([byte_limit.passed(chunk) async for chunk in self.content.iter_chunked(1 << 16)])
            except aiohttp.ClientPayloadError:
                self.close()
                raise
        return self._body


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _refusal(host: str) -> aiohttp.ClientError:
    return aiohttp.ClientError(f"it leads to {host}, which is inside: give that address itself if it is meant")
