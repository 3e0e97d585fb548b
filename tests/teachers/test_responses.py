"""Whatever a provider sends is an answer, a refusal or a fault that passes; what it says reaches people in its own words."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from contextlib import suppress
from typing import Any

import pytest

from dmforge.curation.contract.budget import Budget, Price, Usage
from dmforge.generators.teacher import client, teacher_config
from dmforge.generators.teacher.client import Teacher
from dmforge.generators.teacher.rate_limits import RateLimiter
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.errors import DmforgeError, InputError, Transient
from tests.teachers.endpoint import GOOD, QUESTION, Reply, Script, ask, ask_at, server, status

PRICES = {"m": Price(input_usd=1.0, output_usd=10.0)}
CANARY = "sk-canary-0123456789"


def page(code: int, body: bytes, **headers: str) -> Reply:
    return code, {"Content-Type": "text/html", **headers}, body


def spent(account: Budget) -> Usage:
    return account.spent["annotate", "m"].usage


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[" * 200_000, b'{"a":' * 200_000, b"9" * 5000, b"\xff\xfe", b"null", b"{}", b'"text"', b"[1]", b"<html>",
        b'{"choices": [{"message": {"content": ' + b"[" * 500,
    ],
)  # fmt: skip
def test_a_body_of_brackets_or_of_anything_else_is_a_passing_fault(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    script = Script((200, {}, body), status(200, GOOD))
    assert ask(script, retries=1)["content"] == "{}"
    with pytest.raises(Transient, match="no chat completion"):
        ask(Script((200, {}, body)), retries=0)


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"error":' * 900 + b"1" + b"}" * 900, b'{"error": {"code": ' + b"[" * 900])
@pytest.mark.parametrize("code", [400, 429, 500])
def test_a_refusal_of_brackets_is_a_refusal(code: int, body: bytes) -> None:
    with pytest.raises(DmforgeError, match=rf"{code}: [\[{{]"):
        ask(Script((code, {}, body)), retries=0, wait_timeout_s=0.1)


@pytest.mark.parametrize(
    "words", ["image input is not supported - hint: you may need mmproj", "m does not support image input"]
)
def test_a_model_without_sight_is_said_to_have_none_whatever_the_status(words: str) -> None:
    script = Script(status(500, {"error": {"message": words, "type": "server_error"}}))
    with pytest.raises(DmforgeError, match=words[:20]) as caught:
        ask(script)
    assert not isinstance(caught.value, Transient)
    assert len(script.asked) == 1


@pytest.mark.parametrize("charset", ["hex", "rot13", "idna", "undefined", "utf-16", "no-such"])
def test_a_refusal_that_names_an_odd_alphabet_is_read_as_json_is(charset: str) -> None:
    kind = {"Content-Type": f"application/json; charset={charset}"}
    with pytest.raises(DmforgeError, match="400: né"):
        ask(Script((400, kind, '{"error": {"message": "né"}}'.encode())))


@pytest.mark.parametrize(
    "choices", [[], None, [{"index": 0, "finish_reason": "content_filter"}], [None], [{"message": None}], "none", {}]
)
def test_a_reply_without_choices_or_message_is_a_refusal_and_asked_for_once(choices: Any) -> None:
    usage = {"prompt_tokens": 90, "completion_tokens": 0}
    script, account = Script(status(200, {**GOOD, "choices": choices, "usage": usage})), Budget()
    answer = ask(script, account)
    assert answer["content"] == ""
    assert answer["refusal"].startswith("no message came")
    assert len(script.asked) == 1
    assert spent(account) == Usage(1, 90, 0)


def test_a_completion_that_names_no_choices_is_one_without() -> None:
    assert ask(Script(status(200, {"object": "chat.completion", "usage": None})))["refusal"]


def test_a_reply_in_parts_is_their_text() -> None:
    parts = [
        {"type": "thinking", "thinking": "hm", "text": "{}"},
        {"type": "text", "text": '{"a"'},
        {"type": "text", "text": ": 1}"},
    ]
    message = {"role": "assistant", "content": parts}
    assert ask(Script(status(200, {**GOOD, "choices": [{"message": message}]})))["content"] == '{"a": 1}'


@pytest.mark.parametrize("content", [7, {"a": 1}, [[1]], True, None, [None]])
def test_content_that_is_no_text_is_an_answer_that_nobody_can_read(content: object) -> None:
    answer = ask(Script(status(200, {**GOOD, "choices": [{"message": {"content": content}}]})))
    assert isinstance(answer["content"], str)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3}, (7, 3)), ({"prompt_tokens": 0, "completion_tokens": 0}, (None, None)),
        ({"prompt_tokens": 7, "completion_tokens": 0}, (7, 0)),
        ({"prompt_tokens": -5, "completion_tokens": 3}, (None, 3)), ({"prompt_tokens": 1.5, "completion_tokens": 3}, (None, 3)),
        ({"prompt_tokens": 10**30, "completion_tokens": 3}, (None, 3)), ({"prompt_tokens": 7}, (7, None)),
        ({"prompt_tokens": float("nan"), "completion_tokens": True}, (None, None)),
        ({"prompt_tokens": "7", "completion_tokens": [3]}, (None, None)),
        ("many", (None, None)), ([7, 3], (None, None)), (None, (None, None)), (7, (None, None)), ({}, (None, None)),
    ],
)  # fmt: skip
def test_tokens_that_make_no_sense_are_estimated_and_not_written_down(
    usage: object, counted: tuple[int | None, int | None]
) -> None:
    account = Budget()
    answer = ask(Script(status(200, {**GOOD, "usage": usage})), account, max_output_tokens=100)
    names = ("prompt_tokens", "completion_tokens")
    assert answer["usage"] == {name: count for name, count in zip(names, counted, strict=True) if count is not None}
    used = spent(account)
    assert used.estimated == (None in counted)
    assert used.output_tokens == (len("{}") // 4 if counted[1] is None else counted[1])
    assert used.input_tokens == (len("Look.What?") // 4 if counted[0] is None else counted[0])


def test_a_usage_that_is_missing_is_estimated_from_the_other_replies() -> None:
    usages = ({"prompt_tokens": 7, "completion_tokens": 30}, {"prompt_tokens": 7, "completion_tokens": 50}, None)
    account = Budget()

    async def all_in_turn(url: str) -> None:
        teacher = Teacher(TeacherConfig(model="m", base_url=url), "annotate", account)
        for _ in usages:
            await teacher.ask(QUESTION)
        await teacher.aclose()

    with server(Script(*(status(200, {**GOOD, "usage": usage}) for usage in usages))) as url:
        asyncio.run(all_in_turn(url))
    assert spent(account) == Usage(3, 7 + 7 + len("Look.What?") // 4, 30 + 50 + 40, estimated=1)


def test_pages_instead_of_answers_are_paid_for_some_times_and_no_more() -> None:
    script, account = Script(page(200, b"<html><title>Welcome</title></html>")), Budget()

    async def all_at_once(url: str) -> list[BaseException | Any]:
        config = TeacherConfig(model="m", base_url=url, retries=0)
        teacher = Teacher(config, "annotate", account)
        outcomes = [(await asyncio.gather(teacher.ask(QUESTION), return_exceptions=True))[0] for _ in range(50)]
        await teacher.aclose()
        return outcomes

    with server(script) as url:
        outcomes = asyncio.run(all_at_once(url))
    assert all(isinstance(outcome, Transient) for outcome in outcomes)
    assert len(script.asked) == spent(account).calls == client.MANY
    assert "Welcome" in str(outcomes[-1])
    assert "base_url" in str(outcomes[-1])


OPENAI = {"error": {"message": "maximum context length is 8192 tokens, you asked for 9213", "code": "context_length_exceeded"}}
VLLM = {"object": "error", "message": "This model's maximum context length is 8192 tokens.", "type": "BadRequestError"}
VLLM_IMAGES = {
    "error": {"message": "At most 50 image(s) may be provided in one request.", "type": "BadRequestError", "code": 400}
}
GEMINI = [{"error": {"code": 400, "message": "The input token count (12) exceeds the maximum number of tokens allowed (9)."}}]
GEMINI_BYTES = [{"error": {"code": 400, "message": "Request payload size exceeds the limit: 20971520 bytes."}}]
FASTAPI = {"detail": [{"loc": ["body", "messages", 1], "msg": "List should have at most 50 items", "type": "too_long"}]}
LLAMA = {"error": {"code": 400, "message": "the request exceeds the available space", "type": "exceed_context_size_error"}}
ANTHROPIC = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "prompt is too long: 210 tokens > 200 maximum"},
}
PER_MINUTE = {
    "error": {"message": "Request too large for m on tokens per min (TPM): Limit 3, Requested 4", "code": "rate_limit"}
}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (status(400, OPENAI), "maximum context length is 8192"), (status(400, VLLM), "maximum context length is 8192"),
        (status(400, VLLM_IMAGES), "At most 50 image"), (status(400, GEMINI), "input token count"),
        (status(400, GEMINI_BYTES), "Request payload size"),
        (status(422, FASTAPI), "body.messages.1: List should have at most 50"),
        (status(400, LLAMA), "the request exceeds"), (status(400, ANTHROPIC), "prompt is too long"),
        (status(429, PER_MINUTE), "Request too large"), (status(413, {"detail": "no"}), "413: no"),
        (page(413, b""), "413: nothing was said"),
        (page(413, b"<html><head><title>413 Request Entity Too Large</title></head></html>"), "413 Request Entity Too Large"),
    ],
)  # fmt: skip
def test_a_question_that_is_too_large_is_settled_by_that(reply: Reply, words: str) -> None:
    script, account = Script(reply), Budget()
    answer = ask(script, account, max_output_tokens=300)
    assert answer["finish"] == "too_large"
    assert "the question is too large for m: 0 images, 0.0 MB, and up to 300 tokens back" in answer["refusal"]
    assert words in answer["refusal"]
    assert len(script.asked) == 1
    assert spent(account) == Usage()


def test_an_endpoint_for_which_every_question_is_too_large_is_asked_no_more() -> None:
    script, account = Script(status(413, {"detail": "no"})), Budget()

    async def all_in_turn(url: str) -> list[BaseException | Any]:
        teacher = Teacher(TeacherConfig(model="m", base_url=url), "annotate", account)
        outcomes = [(await asyncio.gather(teacher.ask(QUESTION), return_exceptions=True))[0] for _ in range(50)]
        await teacher.aclose()
        return outcomes

    with server(script) as url:
        outcomes = asyncio.run(all_in_turn(url))
    assert len(script.asked) == client.MANY
    assert all(isinstance(outcome, Transient) for outcome in outcomes[client.MANY - 1 :])
    assert "lower max_output_tokens" in str(outcomes[-1])


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (status(401), "check the key in OPENAI_API_KEY"), (status(402, {"error": "Insufficient Balance"}), "no credit left"),
        (status(403), "may use 'm'"), (status(404), "check the model's name, 'm', and the endpoint, http"),
        (status(422, {"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted"}]}), "settings of the stage"),
        (status(429, {"error": {"code": "insufficient_quota"}}), "no credit left"),
        (page(308, b"", Location="http://elsewhere/v1"), "own address as base_url"),
        (status(200, {"error": {"code": 402, "message": "pay"}}), "no credit left"),
    ],
)  # fmt: skip
def test_what_stops_a_run_says_what_to_look_at(reply: Reply, hint: str) -> None:
    with pytest.raises(DmforgeError) as caught:
        ask(Script(reply))
    assert not isinstance(caught.value, Transient)
    assert hint in caught.value.hint


@pytest.mark.parametrize("code", [502, 429, 408])
def test_a_refusal_that_a_relay_sends_as_an_answer_is_that_refusal(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    account = Budget()
    refusal = status(200, {"error": {"code": code, "message": "upstream"}})
    assert ask(Script(refusal, status(200, GOOD)), account, retries=1)["content"] == "{}"
    assert spent(account).calls == 1


@pytest.mark.parametrize("code", [401, 503, 429])
def test_words_are_the_providers_own_short_plain_and_without_the_key(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    message = f"\x1b[31mno\u202e\0 {CANARY}: " + "very " * 10_000
    with pytest.raises(DmforgeError) as caught:
        ask(Script(status(code, {"error": {"message": message}})), retries=0, wait_timeout_s=0.1)
    assert "no (the key): very very" in caught.value.message.replace("[31m", "")
    assert CANARY not in str(caught.value)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600


def test_a_key_in_an_answer_is_not_written_down_and_a_word_that_serves_as_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    choices = [{"message": {"content": f"Bearer {CANARY}", "refusal": f"none of {CANARY}"}}]
    answer = ask(Script(status(200, {**GOOD, "choices": choices})))
    assert (answer["content"], answer["refusal"]) == ("Bearer (the key)", "none of (the key)")
    monkeypatch.delenv("OPENAI_API_KEY")
    assert ask(Script(status(200, {**GOOD, "choices": [{"message": {"content": "none"}}]})))["content"] == "none"


@pytest.mark.parametrize("key", ["sk-1\n", "sk-é", " sk-1", "sk\x001"])
def test_a_key_that_no_header_can_hold_is_refused_by_its_name(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_config.os, "environ", {**os.environ, "OPENAI_API_KEY": key})
    with pytest.raises(InputError) as caught:
        ask(Script(status(200, GOOD)))
    assert caught.value.where == "OPENAI_API_KEY"
    assert key.strip() not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "http://", "http://[::1", "http://x:99999/v1", "ftp://x/v1", "v1"])
def test_an_address_that_leads_nowhere_is_refused_before_anything_is_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(InputError, match="no endpoint's address"):
        asyncio.run(Teacher(TeacherConfig(model="m"), "annotate", Budget()).ask(QUESTION))


def nobody() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_what_was_never_sent_costs_nothing() -> None:
    account, url = Budget(0.01), nobody()
    with pytest.raises(Transient, match=f"no connection to {url}"):
        asyncio.run(ask_at(url, account, retries=2, prices=PRICES, max_output_tokens=100))
    assert account.usd == 0
    assert spent(account) == Usage()


def test_where_nobody_is_one_question_tells_as_much_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", nobody())

    async def two() -> None:
        teacher = Teacher(TeacherConfig(model="m", retries=1, max_output_tokens=100), "annotate", Budget())
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(Transient, match="no connection to"):
                await teacher.ask(QUESTION)
            waits.append(time.monotonic() - began)
        await teacher.aclose()

    waits: list[float] = []
    asyncio.run(two())
    assert waits[0] > 0.4
    assert waits[1] < 0.1  # nothing is sent, nor waited for


def test_what_broke_on_its_way_counts_as_the_most() -> None:
    account = Budget(1.0)
    with pytest.raises(Transient, match="the connection broke"):
        ask(Script((200, {"Content-Length": "9999"}, b"{")), account, retries=0, prices=PRICES, max_output_tokens=100)
    assert spent(account).output_tokens == 100


def test_a_reply_that_drips_is_given_up_after_its_time() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(asyncio.CancelledError, ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)

    async def asked() -> None:
        async with await asyncio.start_server(drip, "127.0.0.1", 0) as http:
            port = http.sockets[0].getsockname()[1]
            await ask_at(f"http://127.0.0.1:{port}/v1", retries=0, timeout_s=0.3)

    began_s = time.monotonic()
    with pytest.raises(Transient, match=r"no answer within timeout_s = 0\.3"):
        asyncio.run(asked())
    assert time.monotonic() - began_s < 10


def test_who_is_interrupted_while_waiting_for_its_turn_has_spent_nothing() -> None:
    account = Budget(1.0)

    async def interrupted() -> None:
        config = TeacherConfig(model="m", base_url=nobody(), requests_per_minute=0.01, prices=PRICES)
        teacher = Teacher(config, "annotate", account)
        first = asyncio.create_task(teacher.ask(QUESTION))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(teacher.ask(QUESTION))
        await asyncio.sleep(0.05)
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        await teacher.aclose()

    asyncio.run(interrupted())
    assert account.usd == 0


def test_a_pause_that_a_server_asks_for_is_kept_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(RateLimiter, "refused", lambda self, wait_s: pauses.append(wait_s))
    for code in (429, 503):
        ask(Script(status(code, retry_after="300"), status(200, GOOD)))
    assert pauses == [300.0, 300.0]


@pytest.mark.parametrize("wait", ["7200", "1e300"])
def test_a_pause_beyond_patience_ends_the_stage_and_says_until_when(wait: str) -> None:
    script = Script(status(429, {"error": {"message": "come back later"}}, retry_after=wait))
    with server(script) as url:

        async def twice() -> list[Any]:
            teacher = Teacher(TeacherConfig(model="m", base_url=url), "annotate", Budget())
            outcomes = [(await asyncio.gather(teacher.ask(QUESTION), return_exceptions=True))[0] for _ in range(2)]
            await teacher.aclose()
            return outcomes

        first, second = asyncio.run(twice())
    assert isinstance(first, Transient)
    assert str(first) == str(second)
    assert "not to be asked again before 20" in str(first)
    assert "come back later" in str(first)
    assert "wait_timeout_s, now 1800" in str(first)
    assert len(script.asked) == 1


def test_who_always_says_at_once_is_not_asked_without_end() -> None:
    script = Script(status(429, retry_after="0"))
    with pytest.raises(Transient, match="asked too much"):
        ask(script, wait_timeout_s=1)
    assert len(script.asked) <= 3


def test_halves_of_letters_can_be_written_down() -> None:
    choices = [{"message": {"content": "\ud800", "refusal": "\udfff"}, "finish_reason": "\ud800" * 500}]
    json.dumps(ask(Script(status(200, {**GOOD, "choices": choices})))).encode("ascii")
