"""A server for the Inquire stage, in a process of its own: it answers with a score, and counts what it was asked."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class Handler(BaseHTTPRequestHandler):
    """POST asks, GET tells how often each question was asked."""

    protocol_version = "HTTP/1.1"
    question_counts: ClassVar[Counter[str]] = Counter()
    lock = threading.Lock()
    delay_s = 0.0
    fail_every = 0

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.headers["Idempotency-Key"]
        with self.lock:
            self.question_counts[name] += 1
            fails = self.fail_every and self.question_counts.total() % self.fail_every == 0
        time.sleep(self.delay_s)
        if fails:
            self._answer(503, {"error": "busy"})
        else:
            self._answer(200, {"score": hashlib.sha256(json.dumps(question).encode()).digest()[0] / 255})

    def do_GET(self) -> None:
        with self.lock:
            self._answer(200, dict(self.question_counts))

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    """Askers that are killed leave connections cut: that is what it is for, and no news."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet."""


@contextmanager
def serving(delay_s: float = 0.0, fail_every: int = 0) -> Generator[str]:
    """A running server's address."""
    command = [sys.executable, "-m", "chaos.score_server", "--delay-s", str(delay_s), "--fail-every", str(fail_every)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def asked(url: str) -> Counter[str]:
    """How often each question was asked so far."""
    with urllib.request.urlopen(url) as reply:
        return Counter(json.load(reply))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--fail-every", type=int, default=0)
    arguments = parser.parse_args()
    Handler.delay_s, Handler.fail_every = arguments.delay_s, arguments.fail_every
    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
