"""How often a teacher is asked: evenly, as often as it allows, and at once less often when it refuses."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest

from dmforge.generators.teacher.rate_limits import RateLimiter, RetryHint, read_hint

QUOTA = "type.googleapis.com/google.rpc.QuotaFailure"
RETRY = "type.googleapis.com/google.rpc.RetryInfo"


def google(quota: str, delay: str) -> list[Any]:
    """A refusal as Gemini's compatible endpoint words it: a list of one error."""
    details = [{"@type": QUOTA, "violations": [{"quotaId": quota}]}, {"@type": RETRY, "retryDelay": delay}]
    return [{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": details}}]


@pytest.mark.parametrize(
    ("headers", "body", "hint"),
    [
        ({}, {}, RetryHint()),
        ({"retry-after": "7"}, {}, RetryHint(7.0)),
        ({"retry-after-ms": "250", "retry-after": "7"}, {}, RetryHint(0.25)),
        ({"retry-after": "nan"}, None, RetryHint()),
        ({"retry-after": "-3"}, "text", RetryHint()),
        ({}, google("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "37s"), RetryHint(37.0)),
        ({}, google("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "37.5s"), RetryHint(37.5, of_the_day=True)),
        ({}, google("x", "soon"), RetryHint()),
        ({}, {"error": {"code": "insufficient_quota", "message": "no"}}, RetryHint(no_money=True)),
        ({}, [], RetryHint()),
        ({}, {"error": {"details": [None, {"@type": QUOTA, "violations": [None, 3]}]}}, RetryHint()),
    ],
)
def test_hints_are_read_in_every_way_in_which_they_are_given(headers: dict[str, str], body: Any, hint: RetryHint) -> None:
    assert read_hint(headers, body) == hint


def test_a_date_is_a_hint_too() -> None:
    hint = read_hint({"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)}, None)
    assert hint.wait_s is not None
    assert 35 < hint.wait_s <= 40


async def turns(limiter: RateLimiter, count: int, tokens: int = 1) -> list[float]:
    """When each of many askers had its turn."""
    began = time.monotonic()
    at: list[float] = []

    async def one() -> None:
        await limiter.turn(tokens)
        at.append(time.monotonic() - began)

    await asyncio.gather(*(one() for _ in range(count)))
    return sorted(at)


@pytest.mark.parametrize(
    ("limiter", "tokens"), [(RateLimiter(requests_per_minute=3000), 1), (RateLimiter(tokens_per_minute=3_000_000), 1000)]
)
def test_turns_are_spaced_evenly_at_just_below_the_limit(limiter: RateLimiter, tokens: int) -> None:
    at = [limiter.appoint(100.0, tokens) for _ in range(3001)]
    gaps = [after - before for before, after in pairwise(at)]
    assert at[0] == 100.0
    assert max(gaps) - min(gaps) < 1e-9
    assert 60.0 <= at[-1] - at[0] <= 60.0 / 0.95  # no minute has more than the limit, and each has nearly as many


def test_who_comes_late_finds_no_turns_saved_up() -> None:
    limiter = RateLimiter(requests_per_minute=60)
    assert [limiter.appoint(0.0, 1), limiter.appoint(100.0, 1)] == [0.0, 100.0]
    assert limiter.appoint(100.0, 1) > 101.0


def test_the_larger_of_both_limits_counts() -> None:
    limiter = RateLimiter(requests_per_minute=6000, tokens_per_minute=60_000)
    limiter.appoint(0.0, 1000)
    assert limiter.appoint(0.0, 10) > 1.0  # a thousand tokens take a second, one request a hundredth


def test_nobody_goes_before_his_turn() -> None:
    at = asyncio.run(turns(RateLimiter(requests_per_minute=3000), 51))
    assert all(one >= 0.02 * number for number, one in enumerate(at))


def test_a_refusal_holds_up_everybody_for_as_long_as_it_says() -> None:
    limiter = RateLimiter()

    async def refused() -> list[float]:
        limiter.refused(0.5)
        return await turns(limiter, 5)

    at = asyncio.run(refused())
    assert 0.5 <= at[0] <= at[-1] < 5


def test_headers_say_what_nobody_told() -> None:
    limiter = RateLimiter()
    limiter.answered({"x-ratelimit-limit-requests": "1200", "x-ratelimit-reset-requests": "50ms"})
    assert asyncio.run(turns(limiter, 21))[-1] >= 1.0
    told = RateLimiter(requests_per_minute=60_000)
    told.answered({"x-ratelimit-limit-requests": "1200"})
    assert asyncio.run(turns(told, 21))[-1] < 0.5
    daily = RateLimiter()  # a day's limit is no pace
    daily.answered({"x-ratelimit-limit-requests": "200", "x-ratelimit-reset-requests": "7m12s"})
    assert asyncio.run(turns(daily, 21))[-1] < 0.5
