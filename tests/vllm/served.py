"""vLLM's own OpenAI server over a random Qwen3-VL, and a relay before it that writes down what it was asked and was shown."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from dmforge.generators.video_part import BACKEND, PROCESSING

START_S = 400
MODEL = "random-qwen3-vl"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c['type'] in ('video', 'video_url') %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen3-VL's own puts images and videos between texts."""
OPTIONS: Mapping[str, object] = {
    "served-model-name": MODEL, "dtype": "float32", "max-model-len": 32_768, "max-num-seqs": 4,
    "max-num-batched-tokens": 8192, "kv-cache-memory-bytes": 1 << 28,
    "limit-mm-per-prompt": {"image": 256, "video": 1}, "media-io-kwargs": {"video": {"video_backend": BACKEND}},
    "mm-processor-kwargs": PROCESSING,
    "structured-outputs-config": {"backend": "xgrammar", "disable_any_whitespace": True},
}  # fmt: skip
"""As docs/teachers.md starts a server, but for sizes that suit a CPU."""


@dataclass(frozen=True)
class Exchange:
    """A request, and the response to it."""

    body: dict[str, Any]
    status: int
    response: dict[str, Any]

    @property
    def part_types(self) -> list[str]:
        return [part["type"] for part in self.body["messages"][1]["content"]]

    @property
    def texts(self) -> list[str]:
        return [part["text"] for part in self.body["messages"][1]["content"] if part["type"] == "text"]


@dataclass
class Served:
    """The address of a server, and all that went through."""

    url: str
    log: Path
    exchanges: list[Exchange] = field(default_factory=list[Exchange])

    @property
    def answered(self) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if exchange.status == 200]


@contextmanager
def vllm_server(checkpoint: Path, folder: Path) -> Generator[Served]:
    """A server in a process of its own."""
    (folder / "template.jinja").write_text(TEMPLATE)
    options = {**OPTIONS, "host": "127.0.0.1", "port": _free_port(), "chat-template": folder / "template.jinja"}
    words = [word for name, value in options.items() for word in (f"--{name}", _word(value))]
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(checkpoint),
        "--enforce-eager",
        *words,
    ]
    environment = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    url, log = f"http://127.0.0.1:{options['port']}", folder / "server.log"
    with log.open("w") as log_file:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log_file, stderr=log_file, start_new_session=True
        )
        try:
            _await(url, process, log)
            with _relay(url, log) as served:
                yield served
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and the engine that it started."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)


def _word(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + START_S
    with httpx2.Client(trust_env=False) as client:
        while time.monotonic() < end_s and process.poll() is None:
            try:
                if client.get(f"{url}/health").status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.5)
    raise RuntimeError(f"vLLM's server didn't start:\n{log.read_text()[-3000:]}")


@contextmanager
def _relay(upstream: str, log: Path) -> Generator[Served]:
    """What passes requests on, and asks for the tokens that the model was shown."""
    served = Served("", log)
    client = httpx2.Client(trust_env=False, timeout=280)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            response = client.post(f"{upstream}{self.path}", json={**body, "return_token_ids": True})
            served.exchanges.append(Exchange(body, response.status_code, response.json()))
            self.send_response(response.status_code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    relay = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    relay.daemon_threads = True
    threading.Thread(target=relay.serve_forever, args=(0.05,), daemon=True).start()
    served.url = f"http://127.0.0.1:{relay.server_port}/v1"
    try:
        yield served
    finally:
        relay.shutdown()
        relay.server_close()
        client.close()
