"""The cost of teacher calls: counted by stage and model, and limited before it is spent.

The most that a call can cost is reserved before it is sent, and replaced by its actual cost afterwards. Where no answer came,
the charge is unknown: the reserved amount counts.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import NonNegativeFloat

from dmforge.schemas.config import Config
from dmforge.schemas.errors import Transient

MILLION = 1_000_000
EPSILON_USD = 1e-12
"""Amounts below this are rounding errors of float sums."""
BUDGET_USED_UP = "the budget of this run is used up"
MAX_TOKENS = 1_000_000_000
"""The most tokens that one call can have: a hundred times the longest context. A larger figure is no count."""
COUNTS = ("prompt_tokens", "completion_tokens")
"""The fields of an answer's `usage`: tokens that were sent, and that came back."""


class Price(Config):
    """What a model costs, in US dollars."""

    input_usd: NonNegativeFloat = 0.0
    """A million tokens that are sent."""
    output_usd: NonNegativeFloat = 0.0
    """A million tokens that come back."""
    image_tokens: int | None = None
    """Tokens of an image, where a provider counts every one alike; else one for each 32 x 32 pixels."""

    def usd(self, usage: Usage) -> float:
        return (usage.input_tokens * self.input_usd + usage.output_tokens * self.output_usd) / MILLION


FREE = Price()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of some calls, and the number of calls."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.calls + other.calls, self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)


def token_counts(usage: object) -> dict[str, int]:
    """The plausible token counts in a provider's `usage`: they enter budgets and sums for ever."""
    usage_fields: Mapping[Any, Any] = usage if isinstance(usage, dict) else {}
    counts = {count_name: usage_fields.get(count_name) for count_name in COUNTS}
    # a bool is an int to Python, and no count
    return {
        count_name: token_count
        for count_name, token_count in counts.items()
        if type(token_count) is int and 0 <= token_count <= MAX_TOKENS
    }


@dataclass(frozen=True, slots=True)
class ExpectedCost:
    """The usage and cost that are expected."""

    usage: Usage
    usd: float


@dataclass
class ModelCost:
    """The usage and cost of one model at one stage."""

    usage: Usage = Usage()
    usd: float = 0.0


class Budget:
    """The budget of a run, and what was spent of it."""

    def __init__(self, budget_usd: float | None = None) -> None:
        self.budget_usd = budget_usd
        self.spent: defaultdict[tuple[str, str], ModelCost] = defaultdict(ModelCost)
        """By stage and model."""
        self._reserved_usd = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def usd(self) -> float:
        """Spent so far."""
        return sum(stage_spending.usd for stage_spending in self.spent.values())

    async def reserve(self, max_usd: float) -> None:
        """Reserve an amount; if it may exceed the budget, wait for calls in flight, or raise Transient where there are none."""
        while self.budget_usd is not None and self.usd + self._reserved_usd + max_usd > self.budget_usd:
            if self._reserved_usd <= 0:
                raise Transient(BUDGET_USED_UP)
            released_future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(released_future)
            await released_future
        self._reserved_usd += max_usd

    def settle(self, stage: str, model: str, max_usd: float, usage: Usage, usd: float) -> None:
        """Replace a call's reservation by its actual cost."""
        stage_spending = self.spent[stage, model]
        stage_spending.usage, stage_spending.usd = stage_spending.usage + usage, stage_spending.usd + usd
        self._reserved_usd -= max_usd
        if self._reserved_usd < EPSILON_USD:
            self._reserved_usd = 0.0
        waiting_futures, self._waiting = self._waiting, []
        for released_future in waiting_futures:
            if not released_future.done():
                released_future.set_result(None)
