"""What asking costs: counted by stage and model, and bounded, before it is spent.

A call is reserved at the most that it can cost before it is sent, and settled at what it did cost. Where an answer never came,
nobody knows what was charged: it counts as the most.
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
"""Less than this is what sums of floats leave behind."""
OVER = "the budget of this run is used up"
MAX_TOKENS = 1_000_000_000
"""Of one call: a hundred times the longest context there is. More is no count, and would empty any budget."""
COUNTS = ("prompt_tokens", "completion_tokens")
"""What an answer's `usage` says: tokens that were sent, and that came back."""


class Price(Config):
    """What a model costs, in US dollars."""

    input_usd: NonNegativeFloat = 0.0
    """A million tokens that are sent."""
    output_usd: NonNegativeFloat = 0.0
    """A million tokens that come back."""
    image_tokens: int | None = None
    """Tokens of an image, where a provider counts every one alike; else one for each 32 x 32 pixels."""

    def usd(self, used: Usage) -> float:
        return (used.input_tokens * self.input_usd + used.output_tokens * self.output_usd) / MILLION


FREE = Price()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, and how many calls they took."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.calls + other.calls, self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)


def token_counts(usage: object) -> dict[str, int]:
    """What a provider says that a call took, as far as it makes sense: such figures go into budgets and into sums for ever."""
    said: Mapping[Any, Any] = usage if isinstance(usage, dict) else {}
    counts = {name: said.get(name) for name in COUNTS}
    # a bool is an int to Python, and no count
    return {name: count for name, count in counts.items() if type(count) is int and 0 <= count <= MAX_TOKENS}


@dataclass(frozen=True, slots=True)
class Expected:
    """What is going to be spent, as far as one can tell."""

    usage: Usage
    usd: float


@dataclass
class Spent:
    """What one model cost at one stage."""

    usage: Usage = Usage()
    usd: float = 0.0


class Account:
    """The money of a run."""

    def __init__(self, budget_usd: float | None = None) -> None:
        self.budget_usd = budget_usd
        self.spent: defaultdict[tuple[str, str], Spent] = defaultdict(Spent)
        """By stage and model."""
        self._reserved_usd = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def usd(self) -> float:
        """Spent so far."""
        return sum(spent.usd for spent in self.spent.values())

    async def reserve(self, most_usd: float) -> None:
        """Put so much aside; where it might not be there, wait for calls that are under way, or give up for this run."""
        while self.budget_usd is not None and self.usd + self._reserved_usd + most_usd > self.budget_usd:
            if self._reserved_usd <= 0:
                raise Transient(OVER)
            settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(settled)
            await settled
        self._reserved_usd += most_usd

    def settle(self, stage: str, model: str, most_usd: float, used: Usage, usd: float) -> None:
        """A call came to its end: what it cost, instead of what was put aside for it."""
        spent = self.spent[stage, model]
        spent.usage, spent.usd = spent.usage + used, spent.usd + usd
        self._reserved_usd -= most_usd
        if self._reserved_usd < EPSILON_USD:
            self._reserved_usd = 0.0
        waiting, self._waiting = self._waiting, []
        for settled in waiting:
            if not settled.done():
                settled.set_result(None)
