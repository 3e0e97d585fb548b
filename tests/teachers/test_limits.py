"""How often a teacher is asked: evenly, as often as it allows, and at once less often when it refuses."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from dmforge.generators.teacher import limits
from dmforge.generators.teacher.limits import Hint, Limiter, read_hint

QUOTA = "type.googleapis.com/google.rpc.QuotaFailure"
RETRY = "type.googleapis.com/google.rpc.RetryInfo"


def google(quota: str, delay: str) -> list[Any]:
    """A refusal as Gemini's compatible endpoint words it: a list of one error."""
    details = [{"@type": QUOTA, "violations": [{"quotaId": quota}]}, {"@type": RETRY, "retryDelay": delay}]
    return [{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": details}}]


@pytest.mark.parametrize(
    ("headers", "body", "hint"),
    [
        ({}, {}, Hint()),
        ({"retry-after": "7"}, {}, Hint(7.0)),
        ({"retry-after-ms": "250", "retry-after": "7"}, {}, Hint(0.25)),
        ({"retry-after": "nan"}, None, Hint()),
        ({"retry-after": "-3"}, "text", Hint()),
        ({}, google("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "37s"), Hint(37.0)),
        ({}, google("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "37.5s"), Hint(37.5, of_the_day=True)),
        ({}, google("x", "soon"), Hint()),
        ({}, {"error": {"code": "insufficient_quota", "message": "no"}}, Hint(no_money=True)),
        ({}, [], Hint()),
        ({}, {"error": {"details": [None, {"@type": QUOTA, "violations": [None, 3]}]}}, Hint()),
    ],
)
def test_hints_are_read_in_every_way_in_which_they_are_given(headers: dict[str, str], body: Any, hint: Hint) -> None:
    assert read_hint(headers, body) == hint


def test_a_date_is_a_hint_too() -> None:
    hint = read_hint({"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)}, None)
    assert hint.wait_s is not None
    assert 35 < hint.wait_s <= 40


async def turns(limiter: Limiter, count: int, tokens: int = 1) -> list[float]:
    """When each of many askers had its turn."""
    began = time.monotonic()
    at: list[float] = []

    async def one() -> None:
        await limiter.turn(tokens)
        at.append(time.monotonic() - began)

    await asyncio.gather(*(one() for _ in range(count)))
    return sorted(at)


def test_requests_are_spaced_evenly_at_just_below_the_limit() -> None:
    at = asyncio.run(turns(Limiter(requests_a_minute=3000), 101))
    assert 2.0 <= at[-1] <= 2.0 / 0.95
    assert max(sum(start <= one < start + 0.5 for one in at) for start in at) <= 26  # 25 in half a second, and the first


def test_tokens_are_spaced_too() -> None:
    at = asyncio.run(turns(Limiter(tokens_a_minute=600_000), 21, tokens=1000))
    assert 2.0 <= at[-1] <= 2.0 / 0.95


def test_a_refusal_holds_up_everybody_for_as_long_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = Limiter()

    async def refused() -> list[float]:
        limiter.refused(Hint(0.5), 30)
        return await turns(limiter, 5)

    at = asyncio.run(refused())
    assert 0.5 <= at[0] <= at[-1] < 0.8
    monkeypatch.setattr(limits, "LONGEST_PAUSE_S", 0.2)
    limiter.refused(Hint(3600.0), 30)
    assert asyncio.run(turns(limiter, 1))[0] < 0.5


def test_headers_say_what_nobody_told() -> None:
    limiter = Limiter()
    limiter.answered({"x-ratelimit-limit-requests": "1200", "x-ratelimit-reset-requests": "50ms"})
    assert asyncio.run(turns(limiter, 21))[-1] >= 1.0
    told = Limiter(requests_a_minute=60_000)
    told.answered({"x-ratelimit-limit-requests": "1200"})
    assert asyncio.run(turns(told, 21))[-1] < 0.5
    daily = Limiter()  # a day's limit is no pace
    daily.answered({"x-ratelimit-limit-requests": "200", "x-ratelimit-reset-requests": "7m12s"})
    assert asyncio.run(turns(daily, 21))[-1] < 0.5
