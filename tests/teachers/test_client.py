"""The teacher's client against a server that misbehaves: patient with what passes, clear about what doesn't."""

from __future__ import annotations

import pytest

from dmforge.schemas.errors import DmforgeError, Transient
from dmforge.schemas.replies import AnswerReply
from tests.teachers.endpoint import GOOD, Reply, Script, ask, status


def test_the_request_says_what_was_told_and_nothing_else() -> None:
    script = Script(status(200, GOOD))
    assert ask(script)["content"] == "{}"
    (body,) = script.asked
    assert body.keys() == {"model", "messages", "temperature", "seed", "response_format", "max_completion_tokens"}
    assert (body["model"], body["temperature"], body["seed"]) == ("m", 0.25, 2)
    assert body["messages"] == [
        {"role": "system", "content": "Look."},
        {"role": "user", "content": [{"type": "text", "text": "What?"}]},
    ]
    assert body["response_format"]["json_schema"]["schema"] == AnswerReply.json_schema()


def test_what_passes_is_asked_again() -> None:
    script = Script(status(500), status(408), status(409), status(200, GOOD))
    assert ask(script)["content"] == "{}"
    assert len(script.asked) == 4


@pytest.mark.parametrize(
    "reply", [status(500), status(409), (200, {}, b"<html>"), (200, {"Content-Type": "text/html"}, b"<html>"), status(200, [1])]
)
def test_what_does_not_pass_leaves_the_task_pending(reply: Reply) -> None:
    script = Script(reply)
    with pytest.raises(Transient):
        ask(script, retries=1)
    assert len(script.asked) == 2


def test_being_asked_to_wait_burns_no_retry_and_is_obeyed() -> None:
    script = Script(status(429, retry_after="0.3"), status(429, retry_after="0.3"), status(200, GOOD))
    assert ask(script, retries=0)["content"] == "{}"
    pauses = [later - earlier for earlier, later in zip(script.at_s, script.at_s[1:], strict=False)]
    assert all(0.3 <= pause < 0.6 for pause in pauses)


@pytest.mark.parametrize("hint", ["nan", "soon", "-5"])
def test_a_hint_that_makes_no_sense_is_no_reason_to_hurry(hint: str) -> None:
    script = Script(status(429, retry_after=hint), status(200, GOOD))
    ask(script)
    assert script.at_s[1] - script.at_s[0] >= 0.5


def test_patience_ends() -> None:
    with pytest.raises(Transient, match="asked too much"):
        ask(Script(status(429, retry_after="0.2")), wait_timeout_s=0.3)


@pytest.mark.parametrize("code", [400, 401, 403, 404])
def test_a_mistake_of_ours_stops_at_once_with_what_was_said(code: int) -> None:
    script = Script(status(code, {"error": {"message": "wrong model"}}))
    with pytest.raises(DmforgeError, match=rf"refuses with {code}.*wrong model"):
        ask(script)
    assert len(script.asked) == 1


def test_a_question_that_a_filter_refuses_is_one_refusal_and_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    script = Script(status(400, {"error": {"code": "content_filter", "message": "not this one, sk-canary"}}))
    answer = ask(script)
    assert "not this one" in answer["refusal"]
    assert "sk-canary" not in answer["refusal"]
    assert len(script.asked) == 1


def test_a_key_that_the_server_sends_back_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    with pytest.raises(DmforgeError) as caught:
        ask(Script(status(401, {"error": {"message": "bad key: Bearer sk-canary"}})))
    assert "sk-canary" not in str(caught.value)


def test_a_proxy_is_not_asked_about_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert ask(Script(status(200, GOOD)), retries=0)["content"] == "{}"


def test_a_refusal_is_kept_as_one() -> None:
    message = {"role": "assistant", "content": None, "refusal": "No."}
    script = Script(status(200, {**GOOD, "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}))
    answer = ask(script)
    assert (answer["content"], answer["refusal"]) == ("", "No.")
