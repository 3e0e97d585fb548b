"""A door before an endpoint that can be shut, slow, or break what passes: and that counts what was asked and answered.

What a run sees of it is an address that is down and up again, as that of a server which is restarted on its port. The door
stays while servers behind it come and go, so its books are whole: which question was answered how often, and whether one was
asked whose answer stood in the journal already.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KEPT_HEADERS = ("Content-Type", "Retry-After")
LONGEST_S = 4000.0


@dataclass(frozen=True, slots=True)
class Passage:
    """How requests pass."""

    slowest_s: float = 0.0
    """Each takes up to so much longer."""
    broken: float = 0.0
    """The share of connections that are broken: before the question, before the answer, or in its middle."""


class Acknowledged:
    """The keys of answers in a workspace's journal, read on as it grows. One that was cut off may be asked for with more."""

    def __init__(self, workspace: Path) -> None:
        self._workspace, self._read, self._keys = workspace, Counter[Path](), set[str]()

    def now(self) -> set[str]:
        for path in self._workspace.glob("journal/*/*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read[path])
                lines, _, _ = file.read().rpartition(b"\n")
            self._read[path] += len(lines) + 1 if lines else 0
            answers = map(json.loads, lines.splitlines())
            self._keys.update(answer["key"] for answer in answers if not answer.get("cut"))
        return self._keys


class Books:
    """What was asked and answered."""

    def __init__(self, workspace: Path) -> None:
        self._lock, self._acknowledged = threading.Lock(), Acknowledged(workspace)
        self.answered: Counter[str] = Counter()
        self.needless: set[str] = set()
        """Asked although the answer stood in the journal."""

    def ask(self, name: str) -> None:
        with self._lock:
            if name in self._acknowledged.now():
                self.needless.add(name)

    def answer(self, name: str) -> None:
        with self._lock:
            self.answered[name] += 1

    def known(self) -> set[str]:
        with self._lock:
            return set(self._acknowledged.now())


class Gate:
    """The door. `url` stays the same, whatever is behind it and whether it is open."""

    def __init__(self, upstream: str, books: Books, rng: random.Random) -> None:
        self.upstream, self.books, self.passage = upstream, books, Passage()
        self._rng, self._server = rng, _Server(self, 0)
        self.url = f"http://127.0.0.1:{self._server.server_port}{urlsplit(upstream).path}"
        self._serve()

    def shut(self) -> None:
        """Refuse connections, and break those that stand."""
        self._server.shutdown()
        self._server.server_close()
        self._server.break_all()

    def open(self) -> None:
        """Stand at the same address again."""
        self._server = _Server(self, self._server.server_port)
        self._serve()

    @contextmanager
    def passing(self, passage: Passage) -> Generator[None]:
        """Let requests pass otherwise for a while."""
        self.passage = passage
        try:
            yield
        finally:
            self.passage = Passage()

    def breaks(self) -> str | None:
        """Where a connection is to be broken."""
        return self._rng.choice(("before", "behind", "within")) if self._rng.random() < self.passage.broken else None

    def waits_s(self) -> float:
        return self._rng.uniform(0, self.passage.slowest_s)

    def _serve(self) -> None:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, gate: Gate, port: int) -> None:
        self.gate, self._open = gate, set[socket.socket]()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def break_all(self) -> None:
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet: connections are broken on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        gate, name = self.server.gate, self.headers.get("Idempotency-Key", "")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        breaks = gate.breaks()
        gate.books.ask(name)
        if breaks == "before":
            self._break()
            return
        time.sleep(gate.waits_s())
        try:
            status, headers, payload = self._passed_on(body)
        except (OSError, http.client.HTTPException):
            self._break()  # the server behind is gone, or has broken off itself
            return
        if status == 200:
            gate.books.answer(name)
        if breaks == "behind":
            self._break()
            return
        self.send_response(status)
        for header in KEPT_HEADERS:
            if header in headers:
                self.send_header(header, headers[header])
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload[: len(payload) // 2] if breaks == "within" else payload)
        if breaks == "within":
            self._break()

    def _passed_on(self, body: bytes) -> tuple[int, Any, bytes]:
        place = urlsplit(self.server.gate.upstream)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=LONGEST_S)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            connection.request("POST", self.path, body, headers)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()
        finally:
            connection.close()

    def _break(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def gate(upstream: str, workspace: Path, rng: random.Random) -> Generator[Gate]:
    """A door before an endpoint while the block lasts, with books on what a workspace knows."""
    made = Gate(upstream, Books(workspace), rng)
    try:
        yield made
    finally:
        with suppress(OSError):
            made.shut()
