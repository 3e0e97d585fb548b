"""The cost of teacher calls: counted by stage and model, and limited before it is spent.

The most that a call can cost is reserved before it is sent, and replaced by its actual cost afterwards. Of an attempt of
several calls the further ones are reserved with the first, so that what was begun can be finished. What a provider doesn't
report is estimated.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat

from dmforge.curation.contract.run_events import RequestAnswered, RequestFailed, RequestsChanged, RunEvents
from dmforge.schemas.config import Config
from dmforge.schemas.errors import Transient

MILLION = 1_000_000
EPSILON_USD = 1e-12
"""Amounts below this are rounding errors of float sums."""
BUDGET_USED_UP = "the budget is used up"
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
        batch_prices = {"input_usd": self.input_usd * self.batch_share, "output_usd": self.output_usd * self.batch_share}
        return self.model_copy(update=batch_prices)

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
        return Usage(*(round(usage_count * scale) for usage_count in (self.calls, self.input_tokens, self.output_tokens)))


def token_counts(usage: object) -> dict[str, int]:
    """The plausible token counts in a provider's `usage`: they enter budgets and sums for ever."""
    usage_fields: Mapping[Any, Any] = usage if isinstance(usage, dict) else {}
    count_by_name = {count_name: usage_fields.get(count_name) for count_name in COUNTS}
    # a bool is an int to Python, and no count
    return {count_name: count for count_name, count in count_by_name.items() if type(count) is int and 0 <= count <= MAX_TOKENS}


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


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a budget leaves to one run; it stands in the run's record."""

    budget_usd: float
    """For all runs of the workspace."""
    spent_before_usd: float
    """By runs before this one."""
    usd: float
    """What this run, or this rank, may spend."""
    rank: int = 0
    ranks: int = 1


class FurtherCalls:
    """The calls of an attempt after its first: what they can cost at most is set aside as soon as the first is really sent."""

    def __init__(self, *max_usds: Callable[[], float]) -> None:
        self._to_come = list(max_usds)
        self.have_begun = False
        """The first call was answered: from now on calls are paid from what was set aside."""
        self.held_usd = 0.0
        """Set aside now."""

    def begin_next(self) -> None:
        """The call before it was answered: what the next one can cost need not stay set aside once it is reserved."""
        self.have_begun = True
        del self._to_come[:1]

    def kept_usd(self) -> float:
        """What must stay set aside once the next call is reserved."""
        return sum(max_usd() for max_usd in self._to_come)


_FURTHER_CALLS: ContextVar[FurtherCalls | None] = ContextVar("further calls", default=None)
"""Of the attempt that the current task is at."""


class Budget:
    """The budget of a run, what was spent of it, and what is reserved: for calls under way, and for second calls to come."""

    def __init__(
        self,
        budget_usd: float | None = None,
        events: RunEvents | None = None,
        *,
        keep_going: bool = False,
        allowance: Allowance | None = None,
    ) -> None:
        self.budget_usd = budget_usd
        """For this run."""
        self.allowance = allowance
        """How it follows from the workspace's budget, if it does."""
        self.events = events or RunEvents()
        """Of the run: each request is told there as it is settled."""
        self.spent: defaultdict[tuple[str, str], ModelCost] = defaultdict(ModelCost)
        """By stage and model."""
        self.notes: list[str] = []
        """What else is to be known of these calls: parameters that a provider refused, say. In the run's record."""
        self.keep_going = keep_going
        """Ask on, though none of a teacher's replies could be read so far."""
        self.asks_nobody = False
        """A repair: what the journal has no answer to stays pending."""
        self.to_change: dict[str, str] = {}
        """By stage that ended: what to change before it is run again, where it would end alike as it is."""
        self.is_used_up = False
        """Some call could not be paid."""
        self._reserved_usd = 0.0
        self._stuck_usd = 0.0
        """Set aside by attempts that wait themselves: nobody else may wait for it."""
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def usd(self) -> float:
        """Spent so far."""
        return sum(spent_entry.usd for spent_entry in self.spent.values())

    def note(self, stage: str, model: str, note_text: str) -> None:
        """Note once that requests are sent otherwise from now on."""
        full_note = f"{stage}, {model}: {note_text}"
        if full_note not in self.notes:
            self.notes.append(full_note)
            self.events.emit(RequestsChanged(stage, model, note_text))

    @contextmanager
    def attempt(self, *further_max_usds: Callable[[], float]) -> Generator[FurtherCalls]:
        """An attempt of several calls; what is left of what it set aside is free again when the block ends, however it does."""
        further = FurtherCalls(*further_max_usds)
        outer = _FURTHER_CALLS.set(further)
        try:
            yield further
        finally:
            _FURTHER_CALLS.reset(outer)
            self._release(further.held_usd)

    async def reserve(self, max_usd: float) -> None:
        """Reserve an amount, and what the attempt's further calls may need; if that may exceed the budget, wait for others, or
        raise Transient where none is under way."""
        if self.budget_usd is None:
            return
        further = _FURTHER_CALLS.get() or FurtherCalls()
        needed_usd = max_usd + further.kept_usd()
        while needed_usd > further.held_usd and self.usd + self._reserved_usd + needed_usd - further.held_usd > self.budget_usd:
            if self._reserved_usd - self._stuck_usd - further.held_usd <= EPSILON_USD:
                self.is_used_up = True
                raise Transient(BUDGET_USED_UP)
            await self._wait(further.held_usd)
        self._reserved_usd += max(0.0, needed_usd - further.held_usd)
        further.held_usd = max(further.held_usd, needed_usd) - max_usd

    async def _wait(self, held_usd: float) -> None:
        """Wait until something is settled or released, while what the waiting attempt holds is not to be waited for."""
        release_future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(release_future)
        self._stuck_usd += held_usd
        try:
            await release_future
        finally:
            self._stuck_usd -= held_usd

    def _release(self, usd: float) -> None:
        """Give up a reservation, and let those try again who wait for one."""
        self._reserved_usd -= usd
        if self._reserved_usd < EPSILON_USD:
            self._reserved_usd = 0.0
        waiting_futures, self._waiting = self._waiting, []
        for release_future in waiting_futures:
            if not release_future.done():
                release_future.set_result(None)

    def settle(self, stage: str, model: str, max_usd: float, usage: Usage, usd: float, end: RequestEnd | None = None) -> None:
        """Replace a call's reservation by its actual cost. Without an `end` nothing was sent."""
        spent = self.spent[stage, model]
        spent.usage, spent.usd = spent.usage + usage, spent.usd + usd
        unspent_usd, further = max(0.0, max_usd - usd), _FURTHER_CALLS.get()
        if self.budget_usd is not None and further is not None and further.have_begun:  # it may have to be sent again
            further.held_usd += unspent_usd
            max_usd -= unspent_usd
        self._release(max_usd)
        if end is not None:
            self._tell(stage, model, usage, usd, end)

    def _tell(self, stage: str, model: str, usage: Usage, usd: float, end: RequestEnd) -> None:
        tokens_and_usd = (usage.input_tokens, usage.output_tokens, usd, end.seconds)
        if end.failure:
            self.events.emit(RequestFailed(stage, model, end.status, end.failure, *tokens_and_usd))
        else:
            self.events.emit(RequestAnswered(stage, model, end.status, *tokens_and_usd))
