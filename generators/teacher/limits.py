"""How often, and how much, a teacher may be asked: as it was told, and as its server says. One for all questions of a stage."""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

MINUTE_S = 60.0
MARGIN = 0.985
"""Of a limit: our clock and the server's don't agree to the last request."""
SLOWEST = 0.25
"""Of its pace: a server that refuses again and again is asked so much less often, and not at all less."""
SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


@dataclass(frozen=True, slots=True)
class Hint:
    """What a refusal says about when to ask again."""

    wait_s: float | None = None
    of_the_day: bool = False
    """A day's quota is used up: waiting for minutes is of no use."""
    no_money: bool = False
    """The account behind the key has none left."""


class Limiter:
    """Requests and tokens a minute, evenly spaced. Slower after a refusal, and by and by as fast again."""

    def __init__(self, requests_a_minute: float | None = None, tokens_a_minute: float | None = None) -> None:
        self._told = requests_a_minute is not None
        self._requests, self._tokens = requests_a_minute, tokens_a_minute
        self._next_s = self._next_token_s = self._resume_s = 0.0
        self._pace = 1.0

    async def turn(self, tokens: int) -> None:
        """Wait until so large a request may go."""
        at = self.appoint(time.monotonic(), tokens)
        while (wait_s := max(at, self._resume_s) - time.monotonic()) > 0:  # a refusal may come while one waits
            await asyncio.sleep(wait_s)

    def appoint(self, now: float, tokens: int) -> float:
        """When so large a request may go that comes now: after all that came before it."""
        at = max(now, self._next_s, self._next_token_s)
        if self._requests is not None:
            self._next_s = max(now, self._next_s) + MINUTE_S / (self._requests * MARGIN * self._pace)
        if self._tokens is not None:
            self._next_token_s = max(now, self._next_token_s) + MINUTE_S * tokens / (self._tokens * MARGIN * self._pace)
        return at

    def answered(self, headers: Mapping[str, str]) -> None:
        """An answer came; its headers may say what is allowed."""
        self._pace = min(1.0, self._pace * 1.01)
        limit = _number(headers.get("x-ratelimit-limit-requests"))
        reset = _span_s(headers.get("x-ratelimit-reset-requests", ""))
        if not self._told and limit and (reset is None or reset <= MINUTE_S):
            self._requests = limit

    def refused(self, wait_s: float) -> None:
        """Asked too much: nobody asks for so long, and then less often."""
        self._resume_s = max(self._resume_s, time.monotonic() + wait_s * random.uniform(1, 1.1))
        self._pace = max(SLOWEST, self._pace * 0.9)


def read_hint(headers: Mapping[str, str], body: Any) -> Hint:
    """What a refusal says, in the ways in which providers say it."""
    error = error_of(body)
    waits = (_milliseconds(headers.get("retry-after-ms")), _seconds(headers.get("retry-after")), _of_retry_info(error))
    wait_s = next((wait for wait in waits if wait is not None), None)
    return Hint(wait_s, _is_of_the_day(error), error.get("code") == "insufficient_quota")


def error_of(body: Any) -> dict[str, Any]:
    """`{"error": {...}}`, a list of such, or what stands in it."""
    if isinstance(body, list):
        body = body[0] if body else {}
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    return body if isinstance(body, dict) else {}


def _details(error: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    told = error.get("details")
    details: list[Any] = told if isinstance(told, list) else []
    return [one for one in details if isinstance(one, dict) and str(one.get("@type", "")).endswith(kind)]


def _of_retry_info(error: dict[str, Any]) -> float | None:
    """Google's `RetryInfo`: `{"retryDelay": "37s"}`."""
    found = (_span_s(str(one.get("retryDelay", ""))) for one in _details(error, "RetryInfo"))
    return next((wait for wait in found if wait is not None), None)


def _is_of_the_day(error: dict[str, Any]) -> bool:
    """Google's `QuotaFailure` names its quotas: `...PerDay...`, `...PerMinute...`."""
    told = [one.get("violations") for one in _details(error, "QuotaFailure")]
    violations: list[Any] = [violation for one in told if isinstance(one, list) for violation in one]
    return any("perday" in str(one.get("quotaId", "")).casefold() for one in violations if isinstance(one, dict))


def _milliseconds(text: str | None) -> float | None:
    told = _number(text)
    return None if told is None else told / 1000


def _seconds(text: str | None) -> float | None:
    """`Retry-After`: seconds, or a date."""
    told = _number(text)
    if told is not None or text is None:
        return told
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _number(text: str | None) -> float | None:
    try:
        told = float(text or "")
    except ValueError:
        return None
    return told if math.isfinite(told) and told >= 0 else None


def _span_s(text: str) -> float | None:
    """`6m0s`, `1.5s`, `20ms`."""
    found = SPAN.fullmatch(text.strip())
    if not text.strip() or found is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
