"""Rolls the example for verifiers out in its own environment, against an endpoint that calls the tool and then answers.

    python -m tests.trainers.lane.verifiers_rollout VIDEO

It prints, as JSON, the rewards and what the endpoint was sent last.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CALL = {"name": "crop_video", "arguments": json.dumps({"start_time": 3, "end_time": 5.5, "fps": 2})}


class Endpoint(BaseHTTPRequestHandler):
    """A stand-in for a model: it looks once, and says that it is red."""

    bodies: list[dict[str, Any]] = []  # noqa: RUF012

    def log_message(self, format: str, *args: object) -> None: ...

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.bodies.append(body)
        if body["messages"][-1]["role"] == "tool":
            delta, finish = {"role": "assistant", "content": "It is red."}, "stop"
        else:
            call = {"index": 0, "id": "call_1", "type": "function", "function": CALL}
            delta, finish = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "stand-in"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        for choice, rest in (
            ({"index": 0, "delta": delta, "finish_reason": None}, {}),
            ({"index": 0, "delta": {}, "finish_reason": finish}, {"usage": usage}),
        ):
            self.wfile.write(b"data: " + json.dumps({**head, "choices": [choice], **rest}).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")


def main() -> None:
    import looks_with_verifiers as example  # pyright: ignore

    os.environ["OPENAI_API_KEY"] = "none"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        tasks = Path(folder) / "tasks.jsonl"
        tasks.write_text(json.dumps({"video": sys.argv[1], "question": "Which colour?", "answer": "red"}) + "\n")
        traces = asyncio.run(example.roll(str(tasks), "stand-in", f"http://127.0.0.1:{server.server_address[1]}/v1"))
    rewards = [trace.reward for trace in traces]
    sys.stdout.write(json.dumps({"rewards": rewards, "last": Endpoint.bodies[-1]}) + "\n")


if __name__ == "__main__":
    main()
