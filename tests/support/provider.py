"""A provider on loopback: an OpenAI-compatible server that knows no prompt of ours, with the habits of a real one.

    python -m tests.support.provider --habit thinks-inline --port 8765
    python -m tests.support.provider --list

`GET /log` says what it was asked and what it charged, as JSON lines.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.completions import Inquiry, Wire, question_of
from tests.support.habits import HABITS, Habit

PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Exchange:
    """A request and what became of it."""

    question: str
    parameters: dict[str, Any]
    """All of the request but its messages; of the schema only its name."""
    images: int
    size_bytes: int
    status: int
    charged: tuple[int, int] | None
    """Tokens in and out."""
    delivered: bool
    """The whole response was sent."""
    meant: str = ""
    """What the model came to, its thoughts aside."""


@dataclass
class Provider:
    """A provider with one habit, and its books."""

    habit: Habit
    exchanges: list[Exchange] = field(default_factory=list[Exchange])
    _ranks: dict[str, int] = field(default_factory=dict[str, int])
    _came: Counter[str] = field(default_factory=Counter[str])
    _answered: Counter[str] = field(default_factory=Counter[str])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def respond(self, body: dict[str, Any], size_bytes: int, headers: dict[str, str]) -> Wire:
        """The response to a request."""
        question = question_of(body)
        with self._lock:
            rank = self._ranks.setdefault(question, len(self._ranks))
            came, answered, number = self._came[question], self._answered[question], self._came.total()
            self._came[question] += 1
        response = self.habit.respond(Inquiry(body, size_bytes, headers, number, rank, came, answered))
        with self._lock:
            self._answered[question] += response.charged is not None
        return response

    def note(self, body: dict[str, Any], size_bytes: int, response: Wire, delivered: bool) -> None:
        parameters = {name: value for name, value in body.items() if name != "messages"}
        if "response_format" in parameters:
            parameters["response_format"] = parameters["response_format"].get("type")
        images = sum(
            part.get("type") == "image_url"
            for message in body.get("messages", [])
            for part in (message["content"] if isinstance(message.get("content"), list) else [])
        )
        question = question_of(body)[:16]
        end = response.status, response.charged, delivered, response.meant
        exchange = Exchange(question, parameters, images, size_bytes, *end)
        with self._lock:
            self.exchanges.append(exchange)

    @property
    def charged(self) -> tuple[int, int]:
        """Tokens in and out that were charged."""
        bills = [exchange.charged for exchange in self.exchanges if exchange.charged]
        return sum(sent for sent, _ in bills), sum(written for _, written in bills)

    @property
    def answers(self) -> int:
        """How many completions were sent whole, and charged."""
        return sum(exchange.delivered and exchange.charged is not None for exchange in self.exchanges)

    @property
    def questions(self) -> int:
        """How many questions came that differ."""
        return len(self._ranks)


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                body = json.loads(data)
            except ValueError:
                return self._send(Wire(400, b'{"error": {"message": "We could not parse the JSON body of your request."}}'))
            if self.path != PATH:
                return self._send(Wire(404, b'{"detail":"Not Found"}'))
            headers = {name.lower(): value for name, value in self.headers.items()}
            response = provider.respond(body, len(data), headers)
            provider.note(body, len(data), response, self._deliver(response))
            return None

        def do_GET(self) -> None:
            lines = "".join(json.dumps(asdict(exchange)) + "\n" for exchange in provider.exchanges)
            self._send(Wire(200, lines.encode()) if self.path == "/log" else Wire(404, b'{"detail":"Not Found"}'))

        def _deliver(self, response: Wire) -> bool:
            if response.delay_s and provider.stopped.wait(response.delay_s):
                self.close_connection = True
                return False
            try:
                self._send(response)
            except OSError:
                return False
            return response.cut_at is None and response.delay_s < 60

        def _send(self, response: Wire) -> None:
            self.send_response(response.status)
            usual = {"Content-Type": "application/json", "Content-Length": str(len(response.body))}
            for name, value in {**usual, **response.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.body[: response.cut_at])
            self.wfile.flush()
            if response.cut_at is not None:  # closed with a reset, not in good order
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if response.cut_at is not None or response.closes:
                self.close_connection = True

        def handle(self) -> None:
            with suppress(ConnectionError):
                super().handle()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler


class LoopbackServer(ThreadingHTTPServer):
    """A server that takes many connections at once, and goes with its process."""

    daemon_threads = True
    request_queue_size = 64


@contextmanager
def serving(habit: str, port: int = 0) -> Iterator[tuple[str, Provider]]:
    """A provider with a habit, and its address."""
    provider = Provider(HABITS[habit])
    http = LoopbackServer(("127.0.0.1", port), _handler(provider))
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1", provider
    finally:
        provider.stopped.set()
        http.shutdown()
        http.server_close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--habit", default="plain", choices=sorted(HABITS), metavar="NAME")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--list", action="store_true", help="list the habits")
    options = parser.parse_args()
    if options.list:
        sys.stdout.writelines(f"{habit.name:28} {habit.who}\n" for habit in HABITS.values())
        return
    with serving(options.habit, options.port) as (url, _), suppress(KeyboardInterrupt):
        sys.stderr.write(f"{options.habit}: {url}\n")
        threading.Event().wait()


if __name__ == "__main__":
    main()
