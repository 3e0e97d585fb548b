"""The provider that judges us from outside: it knows nothing of ours, answers any schema, and keeps honest books."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2

from tests.support.habits import HABITS
from tests.support.provider import serving

SUPPORT = Path(__file__).parents[1] / "support"
FOREIGN = (
    "plausible",
    "completions",
    "habit",
    "habits",
    "habits_of_replies",
    "habits_of_parameters",
    "habits_of_failures",
    "provider",
)
SCHEMA = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["good", "bad"]},
        "score": {"type": "number", "minimum": 0.25, "maximum": 0.75},
        "count": {"type": "integer", "minimum": 2, "maximum": 4},
        "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "sure": {"type": "boolean"},
        "spans": {"type": "array", "minItems": 2, "maxItems": 3, "items": {"$ref": "#/$defs/Span"}},
    },
    "required": ["verdict", "score", "count", "maybe", "sure", "spans"],
    "$defs": {
        "Span": {"type": "object", "properties": {"start_s": {"type": "number"}, "end_s": {"type": "number"}}},
    },
}


def put(url: str, system: str, user: str, schema: dict[str, Any] | None = None, **parameters: Any) -> httpx2.Response:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    body: dict[str, Any] = {"model": "m", "messages": messages, **parameters}
    if schema:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "r", "schema": schema}}
    with httpx2.Client(trust_env=False) as client:
        return client.post(f"{url}/chat/completions", json=body)


def content(response: httpx2.Response) -> Any:
    return json.loads(response.json()["choices"][0]["message"]["content"])


def test_it_knows_nothing_of_ours() -> None:
    for name in FOREIGN:
        assert "import dmforge" not in (text := (SUPPORT / f"{name}.py").read_text())
        assert "from dmforge" not in text


def test_there_are_many_habits_and_each_says_whose_it_is() -> None:
    assert len(HABITS) >= 40
    assert all(len(habit.who) > 15 for habit in HABITS.values())


def test_any_schema_is_answered_plausibly_and_always_alike() -> None:
    with serving("plain") as (url, provider):
        first, again = (put(url, "Judge.", "0.00 - 9.50 seconds: is it good?", SCHEMA, seed=1) for _ in range(2))
        other = put(url, "Judge.", "0.00 - 9.50 seconds: is it good?", SCHEMA, seed=2)
    reply = content(first)
    assert reply == content(again)
    assert reply != content(other)
    assert reply["verdict"] in ("good", "bad")
    assert 0.25 <= reply["score"] <= 0.75
    assert reply["count"] in (2, 3, 4)
    assert isinstance(reply["maybe"], str)
    assert isinstance(reply["sure"], bool)
    assert 2 <= len(reply["spans"]) <= 3
    assert all(0 <= span["start_s"] < span["end_s"] for span in reply["spans"])
    usages = [response.json()["usage"] for response in (first, again, other)]
    assert provider.charged == tuple(sum(usage[name] for usage in usages) for name in ("prompt_tokens", "completion_tokens"))


def test_without_a_schema_the_example_of_the_prompt_is_varied() -> None:
    system = 'Reply with one JSON object: `who` (text), `since_s` (seconds).\n\nExample:\n\n{"who": "a red dog", "since_s": 3}'
    with serving("plain") as (url, _):
        replies = [content(put(url, system, "Who?", seed=seed)) for seed in range(8)]
    assert all(set(reply) == {"who", "since_s"} for reply in replies)
    assert len({reply["who"] for reply in replies}) > 1


def test_a_reply_is_cut_at_the_limit_and_thoughts_count() -> None:
    with serving("thinks-unseen") as (url, _):
        cut = put(url, "Judge.", "Is it?", SCHEMA, max_completion_tokens=512).json()
        enough = put(url, "Judge.", "Is it?", SCHEMA, max_completion_tokens=2048).json()
    assert (cut["choices"][0]["finish_reason"], cut["choices"][0]["message"]["content"]) == ("length", "")
    assert cut["usage"]["completion_tokens"] == 512
    assert enough["choices"][0]["finish_reason"] == "stop"
    assert enough["usage"]["completion_tokens"] > 1_000
