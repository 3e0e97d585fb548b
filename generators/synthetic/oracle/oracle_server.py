"""The oracle's HTTP server, on loopback, with the chat completions protocol: answers, usage figures, errors, and faults."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dmforge.curation.io.atomic import disk_errors, make_folder
from dmforge.curation.output_paths import output_file
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle import Oracle, OracleReply, PlantedDefect
from dmforge.generators.synthetic.oracle.oracle_request import BadRequest, read_request
from dmforge.schemas.errors import InputError

PATH = "/v1/chat/completions"
MODEL = "oracle"
MAX_BODY = 256 << 20
HINT_S = 0.2
HANG_S = 3600.0


class OracleLedger:
    """Counts of requests and answers, and the defects that were planted, across all connections."""

    def __init__(self, truth_path: Path | None) -> None:
        self._truth, self._lock = truth_path, threading.Lock()
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        """By idempotency key; requests without one are counted under an empty name."""
        self.charged: Counter[str] = Counter(prompt_tokens=0, completion_tokens=0, answered=0)
        self._planted: set[str] = set()
        if truth_path is not None:
            output_file(truth_path, "--truth")
            # lines are appended: a hard link of the file would get them, too
            if truth_path.exists() and truth_path.stat().st_nlink > 1:
                raise InputError(
                    "the file has another name, as a hard link", where=f"--truth {truth_path}", hint="give a new file"
                )
            with disk_errors(truth_path):
                make_folder(truth_path.parent)
                truth_path.touch()
                self._planted = set(truth_path.read_text("utf-8").splitlines())

    def ask(self, request_digest: str) -> int:
        """Count a request; return how often the same one came before."""
        with self._lock:
            self.asked[request_digest] += 1
            return self.asked[request_digest] - 1

    def answer(self, name: str, response: OracleReply, planted: PlantedDefect | None) -> None:
        """Count an answer. The truth file has each defect once, however often it is asked for."""
        with self._lock:
            self.answered[name] += 1
            self.charged.update(prompt_tokens=response.prompt_tokens, completion_tokens=response.completion_tokens, answered=1)
            if planted is None or self._truth is None:
                return
            truth_line = json.dumps(asdict(planted), ensure_ascii=False)
            if truth_line not in self._planted:
                self._planted.add(truth_line)
                with self._truth.open("a", encoding="utf-8") as truth_file:
                    truth_file.write(truth_line + "\n")

    def report(self) -> dict[str, Any]:
        with self._lock:
            return {"requests": self.asked.total(), "answered": dict(self.answered), "usage": dict(self.charged)}


class OracleServer(ThreadingHTTPServer):
    """One thread for each connection. Clients that are killed leave connections cut: that is expected."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, oracle: Oracle, behaviour: Behaviour, ledger: OracleLedger, api_key: str | None = None
    ) -> None:
        super().__init__(("127.0.0.1", port), OracleHandler)
        self.oracle, self.behaviour, self.ledger, self.key = oracle, behaviour, ledger, api_key

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing."""


class OracleHandler(BaseHTTPRequestHandler):
    """POST asks; GET /v1/models lists the one model; GET /asked reports the counts so far."""

    protocol_version = "HTTP/1.1"
    server: OracleServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        if self.path == "/asked":
            self._send(200, self.server.ledger.report())
        elif self.path == "/v1/models":
            self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "dmforge"}]})
        else:
            self._send_error(404, "there is nothing here", "not_found_error", None)

    def do_POST(self) -> None:
        content_length = self.headers.get("Content-Length", "")
        if not content_length.isdigit() or int(content_length) > MAX_BODY:
            self.close_connection = True
            self._send_error(413, "say how long the request is, and keep it short", "invalid_request_error", None)
            return
        body = self.rfile.read(int(content_length))
        if self.path != PATH:
            self._send_error(404, f"ask at {PATH}", "not_found_error", None)
        elif self.server.key is not None and self.headers.get("Authorization") != f"Bearer {self.server.key}":
            self._send_error(401, "the API key is wrong or missing", "authentication_error", None)
        else:
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        behaviour, ledger = self.server.behaviour, self.server.ledger
        server_fault = behaviour.server_fault(body, ledger.ask(hashlib.sha256(body).hexdigest()))
        if server_fault is not None and server_fault != "cut":
            self._fail(server_fault)
            return
        try:
            response, planted = self.server.oracle.answer(read_request(body), body)
        except BadRequest as error:
            self._send_error(400, str(error), "invalid_request_error", error.field)
            return
        time.sleep(behaviour.delay_s)
        if server_fault == "cut":
            self._send(200, _completion(response), is_cut=True)
            return
        ledger.answer(self.headers.get("Idempotency-Key", ""), response, planted)
        self._send(200, _completion(response))

    def _fail(self, fault: str) -> None:
        if fault == "hang":
            time.sleep(HANG_S)
            self.close_connection = True
        elif fault == "500":
            self._send_error(500, "something broke", "server_error", None)
        else:
            retry_header = {"Retry-After": str(HINT_S)} if fault == "429_hint" else {}
            self._send_error(429, "you ask too much at once", "rate_limit_error", None, retry_header)

    def _send_error(
        self, status: int, message: str, error_type: str, field: str | None, headers: dict[str, str] | None = None
    ) -> None:
        self._send(status, {"error": {"message": message, "type": error_type, "param": field, "code": None}}, headers)

    def _send(self, status: int, content: object, headers: dict[str, str] | None = None, is_cut: bool = False) -> None:
        response_body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(response_body)))
        for header_name, header_value in (headers or {}).items():
            self.send_header(header_name, header_value)
        self.end_headers()
        if is_cut:
            self.close_connection = True
            response_body = response_body[: len(response_body) // 2]
        self.wfile.write(response_body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def _completion(response: OracleReply) -> dict[str, Any]:
    assistant_message = {
        "role": "assistant",
        "content": response.text if response.refusal is None else None,
        "refusal": response.refusal,
    }
    return {
        "id": "chatcmpl-oracle",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "message": assistant_message, "finish_reason": response.finish, "logprobs": None}],
        "usage": {
            "prompt_tokens": response.prompt_tokens,
            "completion_tokens": response.completion_tokens,
            "total_tokens": response.prompt_tokens + response.completion_tokens,
        },
    }
