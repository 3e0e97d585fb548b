"""Servers that send one elsewhere: questions and keys stay with the endpoint, and nothing inside is reached from outside."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import aiohttp
import pytest

from dmforge.curation.contract.budget import Budget
from dmforge.curation.io import http_guard, locations
from dmforge.generators.teacher import http_bounds
from dmforge.generators.teacher.client import Teacher
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.errors import DmforgeError, InputError, Transient
from tests.support.text_requests import text_request

SECRET = "sk-very-secret"


class Answering(http.server.BaseHTTPRequestHandler):
    """Whatever is asked: one status, some headers, one body; and what was asked is kept."""

    protocol_version = "HTTP/1.1"
    told = (200, {}, b"")

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.asked.append((dict(self.headers), self.rfile.read(length)))  # pyright: ignore
        status, headers, body = self.server.told  # pyright: ignore
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):
                self.wfile.write(body)

    do_GET = do_POST = do_HEAD = _answer


@contextmanager
def answering(status: int, headers: dict[str, str], body: bytes) -> Iterator[tuple[str, list[object]]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.told, server.asked = (status, headers, body), []  # pyright: ignore
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.asked  # pyright: ignore
    finally:
        server.shutdown()
        server.server_close()


def ask(url: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)

    async def asked() -> object:
        teacher = Teacher(TeacherConfig(model="m", base_url=f"{url}/v1", retries=0), "test", Budget())
        try:
            return await teacher.ask(text_request("name", "be brief", "why?"))
        finally:
            await teacher.aclose()

    return asyncio.run(asked())


def completion(content: str) -> bytes:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}).encode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_teacher_cannot_send_a_question_on(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        answering(200, {"Content-Type": "application/json"}, completion("got it")) as (there, stolen),
        answering(status, {"Location": f"{there}/v1/chat/completions"}, b"") as (url, asked),
    ):
        with pytest.raises(DmforgeError, match=f"refuses with {status}") as caught:
            ask(url, monkeypatch)
        assert len(asked) == 1
        assert stolen == []
        assert SECRET not in str(caught.value)


def test_an_ordinary_answer_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, {"Content-Type": "application/json"}, completion("fine")) as (url, asked):
        assert ask(url, monkeypatch)["content"] == "fine"  # pyright: ignore
        assert len(asked) == 1


@pytest.mark.parametrize("packed", [True, False])
def test_a_reply_without_end_is_not_read_to_its_end(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_bounds, "MAX_REPLY", 1 << 16)
    body = completion("a" * (1 << 20))
    headers = {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if packed else {})
    with answering(200, headers, gzip.compress(body) if packed else body) as (url, _), pytest.raises(Transient, match="fails"):
        ask(url, monkeypatch)


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/b.mp4",
        "http://127.1:{port}/b.mp4",
        "http://[::1]:{port}/b.mp4",
        "http://169.254.169.254/latest",
    ],
)
def test_an_address_cannot_lead_inside(location: str) -> None:
    with answering(200, {}, b"inside") as (there, reached):
        port = there.rpartition(":")[2]
        with answering(302, {"Location": location.format(port=port)}, b"") as (url, _):
            with pytest.raises(InputError, match=r"inside|not a canonical"):
                locations.sha256_of(f"{url}/a.mp4")
            assert reached == []


def test_what_is_named_itself_is_read() -> None:
    with answering(200, {}, b"video") as (there, _):
        (sha256,) = {
            locations.sha256_of(f"{there}/a.mp4"),
            locations.sha256_of(f"{there.replace('127.0.0.1', 'localhost')}/a.mp4"),
        }
        assert len(sha256) == 64


def test_a_name_that_meant_the_outside_cannot_come_to_mean_the_inside() -> None:
    class Turning:
        answers = iter(("93.184.216.34", "127.0.0.1"))

        async def resolve(self, host: str, port: int, family: int) -> list[dict[str, object]]:
            return [{"hostname": host, "host": next(self.answers), "port": port, "family": family, "proto": 0, "flags": 0}]

    async def asked() -> None:
        resolver = http_guard._Resolver("films.example")
        resolver._inner = Turning()  # pyright: ignore
        await resolver.resolve("films.example", 80)
        with pytest.raises(aiohttp.ClientError, match="inside"):
            await resolver.resolve("films.example", 80)

    asyncio.run(asked())


@pytest.mark.parametrize(
    ("address", "is_so"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False), ("::1", False), ("fe80::1%eth0", False), ("::ffff:127.0.0.1", False), ("2002:7f00:1::", False),
        ("fd00:ec2::254", False), ("0.0.0.0", False), ("224.0.0.1", False), ("100.64.0.1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_outside(address: str, is_so: bool) -> None:
    assert http_guard.is_outside(address) == is_so


def test_files_and_lists_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(http_guard, "MAX_PAGE", 1 << 16)
    with answering(200, {"Content-Type": "text/html"}, b"<a href='b/'>" * (1 << 18)) as (url, _):
        with pytest.raises(InputError, match="more than"):
            locations.sha256_of(f"{url}/a.mp4")
        with pytest.raises(InputError, match="more than"):
            list(locations.files([f"{url}/films/"], frozenset({".mp4"})))


def test_a_list_that_goes_on_for_ever_ends() -> None:
    with answering(200, {"Content-Type": "text/html"}, b"<a href='deeper/'>deeper/</a>") as (url, asked):
        with pytest.raises(InputError):
            list(locations.files([f"{url}/films/"], frozenset({".mp4"})))
        assert len(asked) < 100
