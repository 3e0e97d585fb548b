"""The order of samples in training is a pure function of (seed, epoch, position); batches are planned before ranks are known.

Nothing is shuffled in memory. A keyed bijection says which sample stands at a position; the epoch is cut into global batches
under a budget of tokens; a batch is dealt to however many ranks there are. So the state of a training is (seed, epoch, step):
going on costs nothing, and another number of ranks gives the same global batches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import digest

Numbers = npt.NDArray[np.int64]
Costs = Callable[[Numbers], Numbers]
"""What samples cost, by their numbers."""
ROUNDS = 6
CHUNK = 1 << 16
"""Positions that are planned at once: what a plan holds in memory is this much and a mark a chunk."""


@dataclass(frozen=True, slots=True)
class Bijection:
    """A permutation of 0 .. size - 1 that is never written down: a Feistel network, walked until it lands inside."""

    size: int
    key: bytes

    def __call__(self, positions: npt.ArrayLike) -> Numbers:
        half = np.uint64(max(1, ((self.size - 1).bit_length() + 1) // 2))
        found = self._once(np.array(positions, np.uint64, ndmin=1), half)
        while (outside := found >= self.size).any():
            found[outside] = self._once(found[outside], half)
        return found.astype(np.int64)

    def _once(self, values: npt.NDArray[np.uint64], half: np.uint64) -> npt.NDArray[np.uint64]:
        mask = (np.uint64(1) << half) - np.uint64(1)
        left, right = values >> half, values & mask
        keys = np.frombuffer(self.key, "<u8")
        for turn in range(ROUNDS):
            left, right = right, left ^ (_mixed(right + keys[turn % 2] + np.uint64(turn * 0x9E3779B97F4A7C15 % 2**64)) & mask)
        return (left << half) | right


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Every bit of what goes in moves about half of the bits that come out (multiplications wrap around)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@dataclass(frozen=True, slots=True)
class Mix:
    """How often the samples of several corpora stand in an epoch. Numbers count through all corpora, one after the other.

    A weight of 1 is each sample once an epoch, 2 twice, .5 every other epoch: over epochs all samples of a corpus come equally
    often, whatever the weight.
    """

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    seed: int

    def __post_init__(self) -> None:
        if not self.sizes or len(self.sizes) != len(self.weights) or min(self.sizes) < 1 or min(self.weights) <= 0:
            raise InputError(
                f"no mix of corpora with {self.sizes} samples and weights {self.weights}",
                mend="give each corpus at least one sample and a weight above 0",
            )

    @property
    def shares(self) -> tuple[int, ...]:
        """Positions of an epoch that belong to each corpus."""
        return tuple(max(1, round(size * weight)) for size, weight in zip(self.sizes, self.weights, strict=True))

    def __len__(self) -> int:
        """Positions of an epoch."""
        return sum(self.shares)

    def at(self, epoch: int, positions: npt.ArrayLike) -> Numbers:
        """The samples that stand there."""
        drawn = Bijection(len(self), digest("epoch", [self.seed, epoch]))(positions)
        found = np.empty_like(drawn)
        before = first = 0
        for corpus, (size, share) in enumerate(zip(self.sizes, self.shares, strict=True)):
            own = (drawn >= before) & (drawn < before + share)
            # the corpus goes on where its last epoch ended: pass after pass over all of its samples
            passes, places = np.divmod(epoch * share + drawn[own] - before, size)
            samples = np.empty_like(places)
            for number in np.unique(passes):
                key = digest("pass", [self.seed, corpus, int(number)])
                samples[passes == number] = Bijection(size, key)(places[passes == number])
            found[own] = first + samples
            before, first = before + share, first + size
        return found


class Plan:
    """The global batches of an epoch: positions in their order, a new batch where the next sample would be too much."""

    def __init__(self, mix: Mix, costs: Costs, epoch: int, most_tokens: int, most_samples: int) -> None:
        if min(most_tokens, most_samples) < 1:
            raise InputError(f"no batch of {most_tokens} tokens and {most_samples} samples", mend="allow at least one of each")
        self.mix, self.epoch = mix, epoch
        self._costs, self._most_tokens, self._most_samples = costs, most_tokens, most_samples
        # where each chunk begins to plan, and the number of its first batch: any batch is found from the mark before it
        self._marks: list[int] = []
        self._firsts: list[int] = []
        steps = begin = 0
        while begin < len(mix):
            bounds = self._bounds(begin)
            self._marks.append(begin)
            self._firsts.append(steps)
            steps, begin = steps + len(bounds) - 1, bounds[-1]
        self._steps = steps
        self._bounds = lru_cache(2)(self._bounds)

    def __len__(self) -> int:
        """Steps of the epoch."""
        return self._steps

    def batch(self, step: int) -> Numbers:
        """The samples of a step."""
        if not 0 <= step < self._steps:
            raise IndexError(step)
        chunk = bisect_right(self._firsts, step) - 1
        bounds, within = self._bounds(self._marks[chunk]), step - self._firsts[chunk]
        return self.mix.at(self.epoch, np.arange(bounds[within], bounds[within + 1]))

    def _bounds(self, begin: int) -> list[int]:
        """Where batches begin from a position on, for about a chunk; the last is where the next chunk begins to plan."""
        wanted = max(CHUNK, 2 * self._most_samples)
        end = min(begin + wanted, len(self.mix))
        costs = self._costs(self.mix.at(self.epoch, np.arange(begin, end)))
        total = np.concatenate([[0], np.cumsum(costs)])
        # for every position at once: where the batch ends that begins there. A sample beyond the budget is a batch alone
        fits = np.searchsorted(total, total[:-1] + self._most_tokens, side="right") - 1
        starts = np.arange(len(costs))
        ends = np.clip(fits, starts + 1, np.minimum(starts + self._most_samples, len(costs))).tolist()
        bounds, at = [begin], 0
        while at < len(ends):
            at = ends[at]
            if at == len(ends) and end < len(self.mix):
                break  # this one might go on behind the chunk: the next chunk begins with it
            bounds.append(begin + at)
        return bounds


@dataclass(frozen=True, slots=True)
class Turn:
    """A sample that a rank takes in a step. With weight 0 it only keeps the ranks in step, and enters no loss."""

    number: int
    weight: int = 1


def deal(numbers: Numbers, costs: Costs, ranks: int) -> list[list[Turn]]:
    """A global batch to ranks: equally many samples each, and about equally many tokens. What is missing is filled up."""
    # a sample may come twice in a batch, where a corpus weighs more than 1
    dearest_first = sorted(zip(numbers.tolist(), costs(numbers).tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    each = -(-len(dearest_first) // ranks)
    hands: list[list[Turn]] = [[] for _ in range(ranks)]
    held = [0] * ranks
    for number, cost in dearest_first:
        rank = min((rank for rank in range(ranks) if len(hands[rank]) < each), key=lambda rank: (held[rank], rank))
        hands[rank].append(Turn(number))
        held[rank] += cost
    cheapest = Turn(dearest_first[-1][0], weight=0)
    return [hand + [cheapest] * (each - len(hand)) for hand in hands]
