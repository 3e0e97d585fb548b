"""A real server on loopback with scripted answers, and a teacher that asks it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from dmforge.curation.contract.budget import Budget
from dmforge.curation.lake.journal import Answer
from dmforge.generators.teacher.client import Teacher
from dmforge.generators.teacher.teacher_config import TeacherConfig
from tests.support.text_requests import text_request

GOOD = {
    "id": "x", "object": "chat.completion", "created": 0, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "{}"}}],
}  # fmt: skip
QUESTION = text_request("ask_1", "Look.", "What?", attempt=2)
Reply = tuple[int, dict[str, str], bytes]


class Script:
    """The answers that a server gives in turn, the last one for ever, and the requests that it got."""

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.asked, self.at_s = list(replies), list[dict[str, Any]](), list[float]()


def status(code: int, content: Any = None, **headers: str) -> Reply:
    return (
        code,
        {name.replace("_", "-"): value for name, value in headers.items()},
        json.dumps(content or {"error": {"message": "no"}}).encode(),
    )


@contextmanager
def server(script: Script) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            script.asked.append(body)
            script.at_s.append(time.monotonic())
            code, headers, content = script.replies.pop(0) if len(script.replies) > 1 else script.replies[0]
            self.send_response(code)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        http.server_close()


def ask(script: Script, account: Budget | None = None, **settings: Any) -> Answer:
    """The answer of a teacher that asks a server with this script."""
    with server(script) as url:
        return asyncio.run(ask_at(url, account, **settings))


async def ask_at(url: str, account: Budget | None = None, **settings: Any) -> Answer:
    config = TeacherConfig(model="m", base_url=url, temperature=0.25, **settings)
    teacher = Teacher(config, "annotate", account or Budget())
    try:
        return await teacher.ask(QUESTION)
    finally:
        await teacher.aclose()
