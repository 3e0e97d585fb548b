"""Whatever speaks at a server's address, an answer is taken for one only if it is one; everything else has a typed end."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from dmforge.generators.inference.engines import wire
from dmforge.generators.inference.engines.engine import FailedRow
from dmforge.generators.inference.engines.engine_settings import ServerSettings
from dmforge.generators.inference.engines.messages import Generate, Generated
from dmforge.generators.inference.engines.server import START, Server
from dmforge.schemas.errors import InputError, Transient

LEG = Generate((1, 2, 3), (), (0, 9), 4, 1.0, 7, 0)
MODELS = json.dumps({"object": "list", "data": [{"id": "speck", "max_model_len": 64}]}).encode()
Answer = tuple[int, dict[str, str], bytes | Callable[[Any], None]]


def likely(log_prob: float | None) -> dict[str, Any]:
    return {"logprob": log_prob, "top_logprobs": [{"logprob": log_prob}, {"logprob": -9999.0}]}


def answer(**changes: Any) -> dict[str, Any]:
    """As vLLM 0.32 answers, without what isn't read. Of the choice: `ids`, `log_probs`; of the whole: by their own names."""
    ids, log_probs = changes.pop("ids", [5, 9]), changes.pop("log_probs", [-0.5, -0.25])
    choice = {"index": 0, "token_ids": ids, "logprobs": {"content": [likely(one) for one in log_probs]}}
    usage = {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
    return {"choices": [choice], "prompt_token_ids": [1, 2, 3], "usage": usage} | changes


def said(document: Any) -> Answer:
    return 200, {}, json.dumps(document).encode()


class Speaking(http.server.BaseHTTPRequestHandler):
    """To each request the next answer; to further ones the last."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def _speak(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server: Any = self.server
        waiting = server.answers if self.command == "POST" else server.models if self.path == "/v1/models" else [(200, {}, b"")]
        status, headers, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if self.command == "POST":
            server.asked += 1
        self.send_response(status)
        length = {"Content-Length": str(len(body))} if isinstance(body, bytes) else {"Connection": "close"}
        for name, value in {**length, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):
            if isinstance(body, bytes):
                self.wfile.write(body)
            else:
                body(self.wfile)

    do_GET = do_POST = _speak


@contextmanager
def speaking(*answers: Answer, models: Answer = (200, {}, MODELS)) -> Iterator[tuple[str, Any]]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Speaking)
    server.answers, server.models, server.asked = list(answers), [models], 0
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmforge.generators.inference.engines.server.LONGEST_PAUSE_S", 0.0)


def asked(*answers: Answer, timeout_s: float = 20.0) -> Generated | FailedRow:
    """Of a server that answers so, asked at most twice."""
    with speaking(*answers) as (address, _):
        server = Server(ServerSettings(kind="openai", base_url=address, retries=1, timeout_s=timeout_s))
        try:
            return server.ask(LEG)
        finally:
            server.close()


def test_an_answer_is_taken() -> None:
    assert asked(said(answer())) == Generated((1, 2, 3), (5, 9), (-0.5, -0.25), 2)
    full = answer(ids=[5, 6, 7, 8], log_probs=[-1.0] * 4, usage={})
    assert asked(said(full)) == Generated((1, 2, 3), (5, 6, 7, 8), (-1.0,) * 4, 0)


def choice(**changes: Any) -> Answer:
    told = answer()
    return said(told | {"choices": [told["choices"][0] | changes]})


UNREADABLE: dict[str, Answer] = {
    "no JSON": (200, {}, b"<html>please log in</html>"),
    "nothing": (200, {}, b""),
    "no text": (200, {}, b'{"choices": "\xff\xfe"}'),
    "half": (200, {}, json.dumps(answer()).encode()[:-20]),
    "deep": (200, {}, b"[" * 100_000 + b"]" * 100_000),
    "a list": said([answer()]),
    "null": said(None),
    "an error of its own": said({"error": {"message": "no"}}),
    "no choices": said(answer(choices=[])),
    "two choices": said(answer(choices=answer()["choices"] * 2)),
    "choices that are none": said(answer(choices={"0": {}})),
    "no tokens": choice(token_ids=[]),
    "tokens that are text": choice(token_ids=["<think>", "x"]),
    "tokens below 0": choice(token_ids=[-1, 9]),
    "tokens beyond any vocabulary": choice(token_ids=[1 << 80, 9]),
    "no log-probabilities": choice(logprobs=None),
    "log-probabilities of none": choice(logprobs={"content": None}),
    "one that is null": said(answer(log_probs=[-0.5, None])),
    "too few": said(answer(log_probs=[-0.5])),
    "without others": choice(logprobs={"content": [{"logprob": -0.5}, {"logprob": -0.5}]}),
    "no context": said({name: value for name, value in answer().items() if name != "prompt_token_ids"}),
    "no usage": said(answer(usage=None)),
    "more than was asked for": said(answer(ids=[5] * 5, log_probs=[-1.0] * 5)),
    "ended for no reason": said(answer(ids=[5, 6])),
    "packed": (200, {"Content-Encoding": "gzip"}, gzip.compress(json.dumps(answer()).encode())),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_answer_is_asked_for_again_and_never_taken(name: str) -> None:
    with pytest.raises(Transient, match="can't be read") as raised:
        asked(UNREADABLE[name])
    assert len(str(raised.value)) < 400
    assert asked(UNREADABLE[name], said(answer())) == Generated((1, 2, 3), (5, 9), (-0.5, -0.25), 2)


@pytest.mark.parametrize("number", [float("nan"), float("-inf"), float("inf")])
def test_a_row_of_which_a_log_probability_is_no_number_has_failed(number: float) -> None:
    assert asked(said(answer(log_probs=[-0.5, number]))) == FailedRow("a log-probability is no number")
    assert isinstance(asked(said(answer(log_probs=[number, -0.5])), said(answer())), Generated)


def test_tokens_that_another_has_drawn_are_refused() -> None:
    told = answer()
    told["choices"][0]["logprobs"]["content"][1]["top_logprobs"][1]["logprob"] = -3.0
    with pytest.raises(InputError, match="draws tokens in its own way"):
        asked(said(told))


def test_a_body_without_an_end_is_given_up_in_bytes_and_in_time() -> None:
    sent = 0

    def floods(out: Any) -> None:
        nonlocal sent
        while True:
            sent += out.write(b" " * (1 << 16))

    def drips(out: Any) -> None:
        for _ in range(200):
            out.write(b" ")
            out.flush()
            time.sleep(0.05)

    with pytest.raises(Transient, match="has more than"):
        asked((200, {}, floods))
    most = wire.longest(LEG, 64)
    assert sent < 2 * (most + (8 << 20))  # what stood in the pipes when it was hung up on, twice
    began_s = time.monotonic()
    with pytest.raises(Transient, match="didn't end"):
        asked((200, {}, drips), timeout_s=0.4)
    assert time.monotonic() - began_s < 5


def test_a_refusal_may_be_long_or_no_text() -> None:
    assert asked((500, {}, b"\xff" * 5000)) == FailedRow("status 500")
    with pytest.raises(InputError, match="refuses the request: status 400") as raised:
        asked((400, {}, b"no " * 5000))
    assert len(raised.value.message) < 400
    with pytest.raises(Transient, match="has more than"):
        asked((500, {}, b"x" * (2 << 20)))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html>", "can't be read"),
        (b"[]", "can't be read"),
        (b'{"data": [{"id": 7}]}', "can't be read"),
        (b'{"data": [{"id": "a", "max_model_len": -5}]}', "can't be read"),
        (b" " * (2 << 20), "can't be read"),
        (b'{"data": []}', "the server serves no model"),
        (b'{"data": [{"id": "a"}]}', "the server is no vLLM"),
        (b'{"data": [{"id": "a", "max_model_len": 5}, {"id": "b", "max_model_len": 5}]}', "the server serves a, b"),
    ],
)
def test_a_server_that_says_nothing_sensible_of_its_models_is_refused(body: bytes, told: str) -> None:
    with speaking(said(answer()), models=(200, {}, body)) as (address, _), pytest.raises(InputError, match=told) as raised:
        Server(ServerSettings(kind="openai", base_url=address))
    assert raised.value.hint in (START, "set model to one of these")
