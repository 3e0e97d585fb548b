"""A server that describes parts of videos and writes questions: it knows a part by its beginning, and fails where it should."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PART = re.compile(r"shown ([0-9.]+) - ([0-9.]+) seconds")
FILTERED = 400, {"error": {"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content."}}
BROKEN = 500, {"error": {"message": "no"}}
Response = tuple[int, Any]


def completion(content: str | None, finish: str = "stop", refusal: str | None = None) -> Response:
    """A reply with these words."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return 200, {
        "id": "x", "object": "chat.completion", "created": 0, "model": "m", "usage": usage,
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
    }  # fmt: skip


@dataclass
class PartTeacher:
    """What it is told, and what it saw."""

    instead: Mapping[float, Response] = field(default_factory=dict[float, Response])
    """By the second with which a part begins: what it answers."""
    questions: tuple[dict[str, Any], ...] = ()
    """What it writes, whatever it is asked for."""
    delay_s: float = 0.0
    asked: Counter[float] = field(default_factory=Counter[float])
    """How often it was asked about each part."""
    briefs: list[str] = field(default_factory=list[str])
    """What it was told before it wrote."""
    in_flight: int = 0
    max_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, text: str) -> Response:
        part = PART.search(text)
        if part is None:
            self.briefs.append(text)
            return completion(json.dumps({"questions": self.questions}))
        start_s, end_s = float(part[1]), float(part[2])
        self.asked[start_s] += 1
        what = f"number {round(start_s * 100)} is written in the picture"
        return self.instead.get(start_s) or completion(
            json.dumps({"events": [{"start_s": start_s, "end_s": end_s, "what": what}]})
        )


@contextmanager
def serving_parts(teacher: PartTeacher) -> Generator[str]:
    """Its address, while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with teacher.lock:
                teacher.in_flight += 1
                teacher.max_in_flight = max(teacher.max_in_flight, teacher.in_flight)
                texts = [part["text"] for part in body["messages"][1]["content"] if part["type"] == "text"]
                status, document = teacher.answer(texts[-1])
            time.sleep(teacher.delay_s)
            with teacher.lock:
                teacher.in_flight -= 1
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        http.server_close()
