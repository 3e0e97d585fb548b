"""Rate limits of a teacher, in requests and tokens per minute: as configured, or as its server says. One limiter for a
stage."""

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
"""The share of a limit that is used: our clock and the server's don't agree to the last request."""
SLOWEST = 0.25
"""The lowest share of the pace, for a server that refuses again and again."""
SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


@dataclass(frozen=True, slots=True)
class RetryHint:
    """A refusal's hint about when to ask again."""

    wait_s: float | None = None
    of_the_day: bool = False
    """A day's quota is used up: waiting for minutes is of no use."""
    no_money: bool = False
    """The account behind the key has no credit left."""


class RateLimiter:
    """Requests and tokens a minute, evenly spaced. Slower after a refusal, and by and by as fast again."""

    def __init__(self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        self._has_limit = requests_per_minute is not None
        self._requests, self._tokens = requests_per_minute, tokens_per_minute
        self._next_s = self._next_token_s = self._resume_s = 0.0
        self._pace = 1.0

    async def turn(self, token_count: int) -> None:
        """Wait until a request of so many tokens may be sent."""
        send_at_s = self.appoint(time.monotonic(), token_count)
        while (wait_s := max(send_at_s, self._resume_s) - time.monotonic()) > 0:  # a refusal may come meanwhile
            await asyncio.sleep(wait_s)

    def appoint(self, now_s: float, token_count: int) -> float:
        """Reserve the time at which a request of so many tokens may be sent: after all requests before it."""
        send_at_s = max(now_s, self._next_s, self._next_token_s)
        if self._requests is not None:
            self._next_s = max(now_s, self._next_s) + MINUTE_S / (self._requests * MARGIN * self._pace)
        if self._tokens is not None:
            self._next_token_s = max(now_s, self._next_token_s) + MINUTE_S * token_count / (self._tokens * MARGIN * self._pace)
        return send_at_s

    def answered(self, headers: Mapping[str, str]) -> None:
        """Note an answer: the pace recovers, and its headers may name the limit."""
        self._pace = min(1.0, self._pace * 1.01)
        request_limit = _non_negative(headers.get("x-ratelimit-limit-requests"))
        reset_s = _span_s(headers.get("x-ratelimit-reset-requests", ""))
        if not self._has_limit and request_limit and (reset_s is None or reset_s <= MINUTE_S):
            self._requests = request_limit

    def refused(self, wait_s: float) -> None:
        """Note a refusal: no request is sent for so long, and then fewer."""
        self._resume_s = max(self._resume_s, time.monotonic() + wait_s * random.uniform(1, 1.1))
        self._pace = max(SLOWEST, self._pace * 0.9)


def read_hint(headers: Mapping[str, str], body: Any) -> RetryHint:
    """Read a refusal's hint, in the forms that providers use."""
    error = error_of(body)
    waits_s = (
        _milliseconds_as_s(headers.get("retry-after-ms")),
        _retry_after_s(headers.get("retry-after")),
        _retry_delay_s(error),
    )
    wait_s = next((candidate_wait_s for candidate_wait_s in waits_s if candidate_wait_s is not None), None)
    return RetryHint(wait_s, _is_daily_quota(error), error.get("code") == "insufficient_quota")


def error_of(body: Any) -> dict[str, Any]:
    """The error object of a body: `{"error": {...}}`, a list of such, or the object itself."""
    if isinstance(body, list):
        body = body[0] if body else {}
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    return body if isinstance(body, dict) else {}


def _details_of(error: dict[str, Any], type_suffix: str) -> list[dict[str, Any]]:
    details_value = error.get("details")
    error_details: list[Any] = details_value if isinstance(details_value, list) else []
    return [
        error_detail
        for error_detail in error_details
        if isinstance(error_detail, dict) and str(error_detail.get("@type", "")).endswith(type_suffix)
    ]


def _retry_delay_s(error: dict[str, Any]) -> float | None:
    """Google's `RetryInfo`: `{"retryDelay": "37s"}`."""
    waits_s = (_span_s(str(retry_info.get("retryDelay", ""))) for retry_info in _details_of(error, "RetryInfo"))
    return next((wait_s for wait_s in waits_s if wait_s is not None), None)


def _is_daily_quota(error: dict[str, Any]) -> bool:
    """Google's `QuotaFailure` names its quotas: `...PerDay...`, `...PerMinute...`."""
    violation_lists = [quota_failure.get("violations") for quota_failure in _details_of(error, "QuotaFailure")]
    violations: list[Any] = [
        violation for violation_list in violation_lists if isinstance(violation_list, list) for violation in violation_list
    ]
    return any(
        "perday" in str(violation.get("quotaId", "")).casefold() for violation in violations if isinstance(violation, dict)
    )


def _milliseconds_as_s(text: str | None) -> float | None:
    milliseconds_or_none = _non_negative(text)
    return None if milliseconds_or_none is None else milliseconds_or_none / 1000


def _retry_after_s(text: str | None) -> float | None:
    """`Retry-After`: seconds, or a date."""
    seconds_or_none = _non_negative(text)
    if seconds_or_none is not None or text is None:
        return seconds_or_none
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _non_negative(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _span_s(text: str) -> float | None:
    """`6m0s`, `1.5s`, `20ms`."""
    span_match = SPAN.fullmatch(text.strip())
    if not text.strip() or span_match is None:
        return None
    hours, minutes, seconds, milliseconds = (float(number_text or 0) for number_text in span_match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
