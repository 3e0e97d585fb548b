"""A provider on loopback that takes batches, in the shape of OpenAI's files and batches: it knows no prompt of ours.

It keeps books of what was submitted, and may have faults of every kind.

    python -m tests.support.batch_provider --port 8766 --faults
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.habits import HABITS
from tests.support.provider import PATH, LoopbackServer, Provider

FAULTS = ("before", "after", "missing", "failing", "repeated", "expired", "full", "cut")


@dataclass
class Batch:
    """A batch that was accepted."""

    document: dict[str, Any]
    keys: list[str]
    ends_s: float
    answered: set[str] = field(default_factory=set[str])
    """The keys of the requests for which an answer lies ready."""

    @property
    def is_over(self) -> bool:
        return self.document["status"] not in ("validating", "in_progress", "cancelling")


@dataclass
class BatchProvider:
    """A provider with batches, and its books. The share of faults is of each kind, at each chance for it."""

    fault_share: float = 0.0
    seed: int = 0
    lasts_s: tuple[float, float] = (0.2, 0.6)
    max_waiting: int | None = None
    """The most requests that may wait; a batch with which there would be more fails."""
    provider: Provider = field(default_factory=lambda: Provider(HABITS["plain"]))
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    batches: dict[str, Batch] = field(default_factory=dict[str, Batch])
    again: list[str] = field(default_factory=list[str])
    """Requests that were submitted although they were out, or answered: each is an error of who asks."""
    seen_faults: Counter[str] = field(default_factory=Counter[str])
    uploads: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def has_fault(self, kind: str) -> bool:
        with self.lock:
            is_faulty = self._rng.random() < self.fault_share
            self.seen_faults[kind] += is_faulty
        return is_faulty

    def upload(self, content: bytes) -> dict[str, Any]:
        with self.lock:
            self.uploads += 1
            file_id = f"file-{self.uploads}"
            self.files[file_id] = content
        return {"id": file_id, "object": "file", "purpose": "batch", "bytes": len(content)}

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        with self.lock:
            keys = [line["custom_id"] for line in lines]
            out = {key for batch in self.batches.values() for key in (batch.answered if batch.is_over else batch.keys)}
            batch_id = f"batch_{len(self.batches) + 1}"
            document = {
                "id": batch_id, "object": "batch", "endpoint": body["endpoint"], "status": "in_progress",
                "input_file_id": body["input_file_id"], "metadata": body.get("metadata"), "errors": None,
            }  # fmt: skip
            batch = Batch(document, keys, time.monotonic() + self._rng.uniform(*self.lasts_s))
            waiting = sum(len(other.keys) for other in self.batches.values() if not other.is_over)
            if self.max_waiting is not None and waiting and waiting + len(keys) > self.max_waiting:
                message = (
                    f"Enqueued token limit reached for m in organization org-1. Limit: {self.max_waiting} enqueued tokens."
                )
                error = {"code": "token_limit_exceeded", "message": message}
                document |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
            else:
                self.again += sorted(out.intersection(keys))
            self.batches[batch_id] = batch
        return document

    def get(self, batch_id: str) -> dict[str, Any] | None:
        with self.lock:
            batch = self.batches.get(batch_id)
            if batch is None:
                return None
            if not batch.is_over and time.monotonic() > batch.ends_s:
                self._end(batch)
            return batch.document

    def cancel(self, batch_id: str) -> None:
        """Cancel a batch, as a person does on the provider's page: half of it was done."""
        with self.lock:
            self._end(self.batches[batch_id], "cancelled")

    def page(self, after: str, limit: int) -> dict[str, Any]:
        with self.lock:
            newest_first = [batch.document for batch in reversed(self.batches.values())]
        names = [document["id"] for document in newest_first]
        start = names.index(after) + 1 if after in names else 0
        return {"object": "list", "data": newest_first[start : start + limit], "has_more": start + limit < len(names)}

    def _end(self, batch: Batch, status: str = "") -> None:
        requests = {
            line["custom_id"]: line for line in map(json.loads, self.files[batch.document["input_file_id"]].splitlines())
        }
        status = status or ("expired" if self.has_fault("expired") else "completed")
        keys = list(requests)
        self._rng.shuffle(keys)  # results come in any order
        done = keys[: len(keys) // 2] if status != "completed" else keys
        good, bad = list[str](), list[str]()
        for key in done:
            if self.has_fault("missing"):
                continue
            if self.has_fault("failing"):
                error = {"message": "The server had an error while processing your request.", "type": "server_error"}
                bad.append(_line(key, 500, {"error": error}))
                continue
            body = requests[key]["body"]
            size_bytes = len(json.dumps(body))
            wire = self.provider.respond(body, size_bytes, {})
            self.provider.note(body, size_bytes, wire, delivered=True)
            good.append(_line(key, wire.status, json.loads(wire.body)))
            batch.answered |= {key} if wire.status == 200 else set()
            if self.has_fault("repeated"):
                good += [good[-1], "not JSON", _line("ask_unknown", 200, {})]
        if status == "expired":
            error = {
                "code": "batch_expired",
                "message": "This request could not be executed before the completion window expired.",
            }
            bad += [_line(key, None, None, error) for key in keys if key not in done]
        results = {"output_file_id": good, "error_file_id": bad}
        files = {name: self.upload("\n".join(lines).encode())["id"] for name, lines in results.items() if lines}
        batch.document |= {"status": status, **files}


def _line(key: str, status: int | None, body: Any, error: Any = None) -> str:
    response = None if status is None else {"status_code": status, "request_id": "r", "body": body}
    return json.dumps({"id": f"batch_req_{key[-6:]}", "custom_id": key, "response": response, "error": error})


def _handler(books: BatchProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == PATH:
                wire = books.provider.respond(body := json.loads(data), len(data), {})
                books.provider.note(body, len(data), wire, delivered=True)
                return self._send(wire.status, wire.body)
            if books.has_fault("before"):
                return self._refuse(500)
            document = books.upload(self._file(data)) if self.path == "/v1/files" else books.create(json.loads(data))
            if books.has_fault("after"):  # it was done, and nobody hears of it
                return self._refuse(502)
            return self._send(200, json.dumps(document).encode())

        def do_GET(self) -> None:
            if books.has_fault("before"):
                return self._refuse(503)
            if found := re.fullmatch(r"/v1/files/([^/]+)/content", self.path):
                content = books.files.get(found[1])
                if content is None:
                    return self._refuse(404)
                return self._send(200, content, cut=books.has_fault("cut"))
            if found := re.fullmatch(r"/v1/batches/([^/?]+)", self.path):
                document = books.get(found[1])
                return self._refuse(404) if document is None else self._send(200, json.dumps(document).encode())
            if found := re.fullmatch(r"/v1/batches\?(.*)", self.path):
                options = dict(option.split("=") for option in found[1].split("&"))
                page = books.page(options.get("after", ""), int(options.get("limit", 20)))
                return self._send(200, json.dumps(page).encode())
            return self._refuse(404)

        def do_DELETE(self) -> None:
            file_id = self.path.rpartition("/")[2]
            with books.lock:
                books.files.pop(file_id, None)
            self._send(200, json.dumps({"id": file_id, "deleted": True}).encode())

        def _file(self, data: bytes) -> bytes:
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = BytesParser().parsebytes(head + data).get_payload()
            return next(part.get_payload(decode=True) for part in parts if part.get_filename())  # type: ignore

        def _refuse(self, status: int) -> None:
            self._send(status, b'{"error": {"message": "no", "type": "server_error"}}')

        def _send(self, status: int, body: bytes, *, cut: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = self.close_connection or cut

        def handle(self) -> None:
            with suppress(ConnectionError):
                super().handle()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler


@contextmanager
def taking_batches(books: BatchProvider, port: int = 0) -> Iterator[str]:
    """The address of a provider with batches."""
    http = LoopbackServer(("127.0.0.1", port), _handler(books))
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        http.server_close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--faults", action="store_true", help="one in ten chances for each kind of fault is taken")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long a batch takes")
    options = parser.parse_args()
    books = BatchProvider(0.1 if options.faults else 0.0, lasts_s=(options.seconds, options.seconds))
    with taking_batches(books, options.port) as url, suppress(KeyboardInterrupt):
        sys.stderr.write(f"{url}\n")
        threading.Event().wait()


if __name__ == "__main__":
    main()
