"""The cost of teacher calls: counted by stage and model, and limited before it is spent.

The most that a call can cost is reserved before it is sent, and replaced by its actual cost afterwards. What a provider
doesn't report is estimated.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat

from dmforge.curation.contract.run_events import RequestAnswered, RequestFailed, RequestsChanged, RunEvents
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

    batch_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """What a request in a batch costs of that."""

    def in_batch(self) -> Price:
        """The price of requests in batches."""
        usd = {"input_usd": self.input_usd * self.batch_share, "output_usd": self.output_usd * self.batch_share}
        return self.model_copy(update=usd)

    def usd(self, usage: Usage) -> float:
        return (usage.input_tokens * self.input_usd + usage.output_tokens * self.output_usd) / MILLION


FREE = Price()


def print_amount(usd: float) -> str:
    """Dollars for people: cents, or more places where it is less than one."""
    return f"{usd:.2f}" if usd >= 1 or not usd else f"{usd:.4f}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of some calls, and the number of calls."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: int = 0
    """Of these calls, those whose tokens are estimated, since the provider didn't report them."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def scaled(self, scale: float) -> Usage:
        """So many times as much."""
        return Usage(*(round(count * scale) for count in (self.calls, self.input_tokens, self.output_tokens)))


def token_counts(usage: object) -> dict[str, int]:
    """The plausible token counts in a provider's `usage`: they enter budgets and sums for ever."""
    fields: Mapping[Any, Any] = usage if isinstance(usage, dict) else {}
    counts = {name: fields.get(name) for name in COUNTS}
    # a bool is an int to Python, and no count
    return {name: count for name, count in counts.items() if type(count) is int and 0 <= count <= MAX_TOKENS}


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


@dataclass(frozen=True, slots=True)
class RequestEnd:
    """How a request that was sent ended."""

    status: int | None
    """Of the server's response, where one came."""
    failure: str
    """Why no answer came, in the provider's words; empty where one came."""
    seconds: float


class Budget:
    """The budget of a run, and what was spent of it."""

    def __init__(self, budget_usd: float | None = None, events: RunEvents | None = None, *, keep_going: bool = False) -> None:
        self.budget_usd = budget_usd
        self.events = events or RunEvents()
        """Of the run: each request is told there as it is settled."""
        self.spent: defaultdict[tuple[str, str], ModelCost] = defaultdict(ModelCost)
        """By stage and model."""
        self.notes: list[str] = []
        """What else is to be known of these calls: parameters that a provider refused, say. In the run's record."""
        self.keep_going = keep_going
        """Ask on, though none of a teacher's replies could be read so far."""
        self.to_change: dict[str, str] = {}
        """By stage that ended: what to change before it is run again, where it would end alike as it is."""
        self._reserved_usd = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def usd(self) -> float:
        """Spent so far."""
        return sum(spent.usd for spent in self.spent.values())

    def note(self, stage: str, model: str, words: str) -> None:
        """Note once that requests are sent otherwise from now on."""
        text = f"{stage}, {model}: {words}"
        if text not in self.notes:
            self.notes.append(text)
            self.events.emit(RequestsChanged(stage, model, words))

    async def reserve(self, max_usd: float) -> None:
        """Reserve an amount; if it may exceed the budget, wait for calls in flight, or raise Transient where there are none."""
        while self.budget_usd is not None and self.usd + self._reserved_usd + max_usd > self.budget_usd:
            if self._reserved_usd <= 0:
                raise Transient(BUDGET_USED_UP)
            release: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(release)
            await release
        self._reserved_usd += max_usd

    def settle(self, stage: str, model: str, max_usd: float, usage: Usage, usd: float, end: RequestEnd | None = None) -> None:
        """Replace a call's reservation by its actual cost. Without an `end` nothing was sent."""
        spent = self.spent[stage, model]
        spent.usage, spent.usd = spent.usage + usage, spent.usd + usd
        self._reserved_usd -= max_usd
        if self._reserved_usd < EPSILON_USD:
            self._reserved_usd = 0.0
        waiting, self._waiting = self._waiting, []
        for release in waiting:
            if not release.done():
                release.set_result(None)
        if end is not None:
            self._tell(stage, model, usage, usd, end)

    def _tell(self, stage: str, model: str, usage: Usage, usd: float, end: RequestEnd) -> None:
        spent = (usage.input_tokens, usage.output_tokens, usd, end.seconds)
        if end.failure:
            self.events.emit(RequestFailed(stage, model, end.status, end.failure, *spent))
        else:
            self.events.emit(RequestAnswered(stage, model, end.status, *spent))
