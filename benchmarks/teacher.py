"""Is a teacher asked as often as it allows, and what does our client cost beside a plain script?

A server on loopback answers after .2 s and refuses what is above its limit in any 60 s. Ours is told the limit; the baseline is
`asyncio` with the `openai` SDK and `tenacity`, as most scripts are: so many in flight, and back off when refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dmforge.curation.contract.budget import Budget
from dmforge.curation.lake.journal import Journal
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.client import Teacher
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.generators.teacher.teacher_request import TeacherRequest
from dmforge.schemas.ids import digest
from dmforge.schemas.ids import show as print_id
from dmforge.schemas.replies import AnswerReply
from dmforge.schemas.sizes import Size
from tests.support.tables import show

IN_FLIGHT = 32
PICTURE = "data:image/jpeg;base64," + "A" * 8000
PARTS = [{"type": "text", "text": "<1.0 seconds>"}, {"type": "image_url", "image_url": {"url": PICTURE}}] * 8
STAMPS = ["<1.0 seconds>"] * 8
ANSWER = json.dumps({
    "id": "x", "object": "chat.completion", "created": 0, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": '{"thought": "x", "answer": "y"}'}}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
}).encode()  # fmt: skip


def serve(port: Any, limit: int, delay_s: float) -> None:
    """In a process of its own."""
    lock, recent, counts = threading.Lock(), deque[float](), {"answered": 0, "refused": 0}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            del format, args

        def do_GET(self) -> None:
            self.send(200, json.dumps(counts).encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            now_s = time.monotonic()
            with lock:
                while recent and recent[0] < now_s - 60:
                    recent.popleft()
                fits = not limit or len(recent) < limit
                if fits:
                    recent.append(now_s)
                counts["answered" if fits else "refused"] += 1
            if not fits:
                self.send(429, b'{"error": {"message": "slow down"}}')
                return
            time.sleep(delay_s)
            self.send(200, ANSWER)

        def send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    class Server(ThreadingHTTPServer):
        daemon_threads, request_queue_size = True, 256

    server = Server(("127.0.0.1", 0), Handler)
    port.send(server.server_port)
    server.serve_forever()


class Serving:
    def __init__(self, limit: int, delay_s: float) -> None:
        self._hear, tell = multiprocessing.Pipe(duplex=False)
        self._process = multiprocessing.get_context("spawn").Process(target=serve, args=(tell, limit, delay_s), daemon=True)

    def __enter__(self) -> str:
        self._process.start()
        return f"http://127.0.0.1:{self._hear.recv()}/v1"

    def __exit__(self, *error: object) -> None:
        self._process.kill()


async def parts() -> list[dict[str, Any]]:
    return PARTS


async def through_dmforge(url: str, calls: int, limit: int | None, until_s: float) -> int:
    """Through journal, account and limits."""
    config = TeacherConfig(model="m", base_url=url, requests_per_minute=limit, retries=0)
    teacher, answered = Teacher(config, "annotate", Budget()), 0
    with tempfile.TemporaryDirectory() as scratch:
        journal, numbers = Journal(WorkspaceFolder(Path(scratch)), "m"), iter(range(calls))

        async def worker() -> None:
            nonlocal answered
            for number in numbers:
                if time.monotonic() > until_s:
                    return
                key = digest("ask", number)
                request = TeacherRequest(
                    print_id("ask", key), bytes(16), "Look.", STAMPS, parts, AnswerReply, number, 8, 8 * Size(64, 64).tokens
                )

                async def ask(request: TeacherRequest = request) -> Any:
                    return await teacher.ask(request)

                await journal.answer(key, bytes(16), ask)
                answered += 1

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        journal.close()
        await teacher.aclose()
    return answered


async def plain(url: str, calls: int, until_s: float) -> int:
    """As most scripts are."""
    import openai
    from tenacity import retry, retry_if_exception_type, wait_random_exponential

    client, numbers, answered = openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0), iter(range(calls)), 0

    @retry(wait=wait_random_exponential(min=1, max=30), retry=retry_if_exception_type(openai.RateLimitError))
    async def ask(number: int) -> None:
        messages: Any = [{"role": "system", "content": "Look."}, {"role": "user", "content": PARTS}]
        schema = {"name": "answer", "strict": True, "schema": AnswerReply.json_schema()}
        form: Any = {"type": "json_schema", "json_schema": schema}
        await client.chat.completions.create(model="m", messages=messages, seed=number, response_format=form)

    async def worker() -> None:
        nonlocal answered
        for number in numbers:
            if time.monotonic() > until_s:
                return
            await ask(number)
            answered += 1

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    await client.close()
    return answered


def counts(url: str) -> dict[str, int]:
    import httpx2

    with httpx2.Client(trust_env=False) as client:
        return client.get(url).json()


def sustained(limit: int, minutes: float) -> list[list[object]]:
    rows: list[list[object]] = []
    for name in ("ours", "openai + tenacity"):
        with Serving(limit, 0.2) as url:
            until = time.monotonic() + 60 * minutes
            asyncio.run(through_dmforge(url, 10**9, limit, until) if name == "ours" else plain(url, 10**9, until))
            tally = counts(url)
        share = tally["answered"] / (limit * minutes)
        rows.append([name, limit, f"{tally['answered'] / minutes:.0f}", f"{share:.3f}", f"{tally['refused'] / minutes:.1f}"])
    return rows


def overhead(calls: int) -> list[list[object]]:
    rows: list[list[object]] = []
    for name in ("openai + tenacity", "ours"):
        with Serving(0, 0.0) as url:
            far = time.monotonic() + 3600
            asyncio.run(plain(url, 50, far) if name != "ours" else through_dmforge(url, 50, None, far))  # imports, connections
            began, cpu = time.monotonic(), time.process_time()
            asyncio.run(plain(url, calls, far) if name != "ours" else through_dmforge(url, calls, None, far))
            rows.append(
                [name, f"{1000 * (time.process_time() - cpu) / calls:.2f}", f"{calls / (time.monotonic() - began):.0f}"]
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=1200)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--calls", type=int, default=1000)
    arguments = parser.parse_args()
    command = (
        f"python -m benchmarks.teacher --limit {arguments.limit} --minutes {arguments.minutes:g} --calls {arguments.calls}"
    )
    columns = ["client", "limit a minute", "answered a minute", "share of the limit", "refused a minute"]
    show("Asked as often as the server allows", command, columns, sustained(arguments.limit, arguments.minutes))
    show("What a call costs", command, ["client", "CPU ms a call", "calls/s"], overhead(arguments.calls))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
