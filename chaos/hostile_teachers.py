"""A teacher's client against an endpoint that sends any bytes: what comes of them is an answer, or a refusal in our words."""

from __future__ import annotations

import asyncio
import json
import os
import socketserver
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from dmforge.curation.contract.budget import COUNTS, MAX_TOKENS, Budget, token_counts
from dmforge.curation.lake.journal import Answer
from dmforge.curation.lake.journal_table import answers
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.client import Teacher
from dmforge.generators.teacher.response import MAX_WORDS, TeacherRefusal, read_response, shown
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import digest, show
from tests.support.text_requests import text_request

KEY_NAME, KEY = "DMFORGE_FUZZ_KEY", "sk-fuzz-0123456789"
QUESTION = text_request("ask_1", "Look.", "What?")
COMPLETION: dict[str, Any] = {
    "id": "x", "object": "chat.completion", "model": "m", "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "{}", "refusal": None}}],
}  # fmt: skip
RETRY = {"@type": "x.RetryInfo", "retryDelay": "37s"}
BODIES: tuple[tuple[int, object], ...] = (
    (200, COMPLETION), (200, {**COMPLETION, "choices": []}), (200, {"error": {"code": 502, "message": f"upstream {KEY}"}}),
    (200, {**COMPLETION, "choices": [{"message": {"content": [{"type": "text", "text": f"{{}} {KEY}"}]}}]}),
    (400, {"error": {"message": f"maximum context length, {KEY}", "type": "x", "code": "context_length_exceeded"}}),
    (401, {"error": f"bad key {KEY}"}), (429, [{"error": {"code": 429, "message": "slow down", "details": [RETRY]}}]),
    (422, {"detail": [{"loc": ["body", "model"], "msg": "field required", "type": "missing"}]}),
    (503, "<html><title>busy</title></html>"),
)  # fmt: skip
USAGES = tuple(json.dumps(usage).encode() for usage in (COMPLETION["usage"], {**COMPLETION["usage"], "total_tokens": 10}))
RESPONSES = tuple(
    f"{status} application/json; charset={charset}\n{json.dumps(document)}".encode()
    for (status, document), charset in zip(BODIES, ("utf-8", "hex", "idna") * 3, strict=True)
)


def read_as_response(data: bytes, folder: Path) -> None:
    """A status, what the body calls itself, and the body; without a network."""
    del folder
    head, _, body = data.partition(b"\n")
    number = int(head[:3]) if head[:3].isdigit() else 200
    text = body[:40].decode("utf-8", "surrogateescape")
    outcome = read_response(number, {"retry-after": text, "location": text}, body)
    if isinstance(outcome, TeacherRefusal):
        assert len(shown(outcome.words)) <= MAX_WORDS + 3
        assert shown(outcome.words).isprintable()
    else:
        _check(outcome)


def read_over_http(data: bytes, folder: Path) -> None:
    """The same from a real server on loopback, up to what a stage is given; a first line without sense is sent as it is."""
    del folder
    head, _, body = data.partition(b"\n")
    status, _, kind = head.partition(b" ")
    with _Endpoint(b"HTTP/1.1 " + status + b" So\r\nContent-Type: " + kind + b"\r\n\r\n" + body) as endpoint:
        threading.Thread(target=endpoint.serve_forever, args=(0.005,), daemon=True).start()
        try:
            outcome = asyncio.run(_asked(f"http://127.0.0.1:{endpoint.server_address[1]}/v1"))
        finally:
            endpoint.shutdown()
    if isinstance(outcome, DmforgeError):
        assert KEY not in str(outcome)
        assert outcome.message.isprintable()
        assert len(str(outcome)) < 3 * MAX_WORDS
    else:
        assert KEY not in json.dumps(outcome)
        _check(outcome)


def read_usage(data: bytes, folder: Path) -> None:
    """What is counted of it, and what an audit makes of a journal that holds it as it came."""
    try:
        usage = json.loads(data)
    except (ValueError, RecursionError):
        return
    assert all(0 <= count <= MAX_TOKENS for count in token_counts(usage).values())
    with tempfile.TemporaryDirectory(dir=folder) as place:
        workspace = WorkspaceFolder(Path(place))
        (workspace.journal / "m").mkdir(parents=True)
        line = {"key": show("ask", digest("c", 1)), "video": show("video", digest("b", 1)), "model": "m"}
        lines = [json.dumps({**line, "answer": {"usage": value}}) for value in (usage, COMPLETION["usage"])]
        (workspace.journal / "m/main.jsonl").write_text("\n".join([*lines, ""]))
        first, second = answers(workspace).to_pylist()
        assert first["request"] == second["request"]
        assert second["fault"] is None


def _check(answer: Answer) -> None:
    assert answer.keys() - {"limit"} == {"content", "refusal", "finish", "usage"}
    assert all(isinstance(answer[name], str) for name in ("content", "refusal", "finish"))
    assert answer["usage"] == token_counts(answer["usage"])
    assert set(answer["usage"]) <= set(COUNTS)
    json.dumps(answer).encode("ascii")


async def _asked(url: str) -> Answer | DmforgeError:
    os.environ[KEY_NAME] = KEY
    config = TeacherConfig(model="m", base_url=url, api_key_env=KEY_NAME, retries=0, wait_timeout_s=0.001, timeout_s=3)
    teacher = Teacher(config, "annotate", Budget())
    try:
        return await teacher.ask(QUESTION)
    except DmforgeError as error:
        return error
    finally:
        await teacher.aclose()


class _Endpoint(socketserver.TCPServer):
    """Sends the same bytes to whoever comes, and hangs up."""

    allow_reuse_address = True

    def __init__(self, response: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Sending)
        self.response = response


class _Sending(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline()).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        self.rfile.read(length)
        with suppress(ConnectionError):
            self.wfile.write(cast(_Endpoint, self.server).response)
