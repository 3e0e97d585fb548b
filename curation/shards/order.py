"""The order of training samples as a pure function of (seed, epoch, position); batches are planned before ranks are known.

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

from dmforge.schemas.bit_mixing import mix_bits
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import digest

Numbers = npt.NDArray[np.int64]
Costs = Callable[[Numbers], Numbers]
"""Gives the cost in tokens of samples, by their numbers."""
FEISTEL_ROUNDS = 6
CHUNK_POSITIONS = 1 << 16
"""How many positions are planned at once: a plan holds this many in memory, and a mark for each chunk."""


@dataclass(frozen=True, slots=True)
class Bijection:
    """A permutation of 0 .. size - 1 that is computed, not stored: a Feistel network, repeated until it lands inside."""

    size: int
    key: bytes

    def __call__(self, positions: npt.ArrayLike) -> Numbers:
        half_bits = np.uint64(max(1, ((self.size - 1).bit_length() + 1) // 2))
        permuted = self._permute(np.array(positions, np.uint64, ndmin=1), half_bits)
        while (is_outside := permuted >= self.size).any():
            permuted[is_outside] = self._permute(permuted[is_outside], half_bits)
        return permuted.astype(np.int64)

    def _permute(self, values: npt.NDArray[np.uint64], half_bits: np.uint64) -> npt.NDArray[np.uint64]:
        mask = (np.uint64(1) << half_bits) - np.uint64(1)
        left, right = values >> half_bits, values & mask
        keys = np.frombuffer(self.key, "<u8")
        for round_index in range(FEISTEL_ROUNDS):
            left, right = (
                right,
                left ^ (mix_bits(right + keys[round_index % 2] + np.uint64(round_index * 0x9E3779B97F4A7C15 % 2**64)) & mask),
            )
        return (left << half_bits) | right


@dataclass(frozen=True, slots=True)
class CorpusMix:
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
                hint="give each corpus at least one sample and a weight above 0",
            )

    @property
    def shares(self) -> tuple[int, ...]:
        """How many positions of an epoch belong to each corpus."""
        return tuple(max(1, round(size * weight)) for size, weight in zip(self.sizes, self.weights, strict=True))

    def __len__(self) -> int:
        """The number of positions of an epoch."""
        return sum(self.shares)

    def at(self, epoch: int, positions: npt.ArrayLike) -> Numbers:
        """The numbers of the samples at these positions of an epoch."""
        permuted = Bijection(len(self), digest("epoch", [self.seed, epoch]))(positions)
        samples = np.empty_like(permuted)
        share_start = first_sample = 0
        for corpus, (size, share) in enumerate(zip(self.sizes, self.shares, strict=True)):
            in_corpus = (permuted >= share_start) & (permuted < share_start + share)
            # the corpus goes on where its last epoch ended: pass after pass over all of its samples
            passes, offsets = np.divmod(epoch * share + permuted[in_corpus] - share_start, size)
            pass_samples = np.empty_like(offsets)
            for pass_index in np.unique(passes):
                key = digest("pass", [self.seed, corpus, int(pass_index)])
                pass_samples[passes == pass_index] = Bijection(size, key)(offsets[passes == pass_index])
            samples[in_corpus] = first_sample + pass_samples
            share_start, first_sample = share_start + share, first_sample + size
        return samples


class EpochPlan:
    """The global batches of an epoch: positions in their order, a new batch where the next sample would be too much."""

    def __init__(self, mix: CorpusMix, costs: Costs, epoch: int, max_tokens: int, max_samples: int) -> None:
        if min(max_tokens, max_samples) < 1:
            raise InputError(f"no batch of {max_tokens} tokens and {max_samples} samples", hint="allow at least one of each")
        self.mix, self.epoch = mix, epoch
        self._costs, self._max_tokens, self._max_samples = costs, max_tokens, max_samples
        # where each chunk begins to plan, and the number of its first batch: any batch is found from the mark before it
        self._marks: list[int] = []
        self._firsts: list[int] = []
        steps = start = 0
        while start < len(mix):
            bounds = self._bounds(start)
            self._marks.append(start)
            self._firsts.append(steps)
            steps, start = steps + len(bounds) - 1, bounds[-1]
        self._steps = steps
        self._bounds = lru_cache(2)(self._bounds)

    def __len__(self) -> int:
        """The number of steps of the epoch."""
        return self._steps

    def batch(self, step: int) -> Numbers:
        """The numbers of the samples of a step."""
        if not 0 <= step < self._steps:
            raise IndexError(step)
        chunk = bisect_right(self._firsts, step) - 1
        bounds, batch_in_chunk = self._bounds(self._marks[chunk]), step - self._firsts[chunk]
        return self.mix.at(self.epoch, np.arange(bounds[batch_in_chunk], bounds[batch_in_chunk + 1]))

    def _bounds(self, start: int) -> list[int]:
        """The positions at which batches begin, for about a chunk from `start` on; the last is where the next chunk starts."""
        chunk_positions = max(CHUNK_POSITIONS, 2 * self._max_samples)
        end = min(start + chunk_positions, len(self.mix))
        costs = self._costs(self.mix.at(self.epoch, np.arange(start, end)))
        cumulative_costs = np.concatenate([[0], np.cumsum(costs)])
        # for every position at once: where the batch ends that begins there. A sample beyond the budget is a batch alone
        last_fitting = np.searchsorted(cumulative_costs, cumulative_costs[:-1] + self._max_tokens, side="right") - 1
        starts = np.arange(len(costs))
        ends = np.clip(last_fitting, starts + 1, np.minimum(starts + self._max_samples, len(costs))).tolist()
        bounds, batch_end = [start], 0
        while batch_end < len(ends):
            batch_end = ends[batch_end]
            if batch_end == len(ends) and end < len(self.mix):
                break  # this one might go on behind the chunk: the next chunk begins with it
            bounds.append(start + batch_end)
        return bounds


@dataclass(frozen=True, slots=True)
class TrainingTurn:
    """A sample that a rank processes in a step. With weight 0 it only fills up the rank's batch, and enters no loss."""

    number: int
    weight: int = 1


def deal(numbers: Numbers, costs: Costs, ranks: int) -> list[list[TrainingTurn]]:
    """Distribute a global batch to ranks: equally many samples each, filled up where needed, and about equally many tokens."""
    # a sample may come twice in a batch, where a corpus weighs more than 1
    by_cost = sorted(
        zip(numbers.tolist(), costs(numbers).tolist(), strict=True),
        key=lambda number_and_cost: (-number_and_cost[1], number_and_cost[0]),
    )
    per_rank = -(-len(by_cost) // ranks)
    turns_by_rank: list[list[TrainingTurn]] = [[] for _ in range(ranks)]
    rank_costs = [0] * ranks
    for number, cost in by_cost:
        rank = min(
            (rank for rank in range(ranks) if len(turns_by_rank[rank]) < per_rank), key=lambda rank: (rank_costs[rank], rank)
        )
        turns_by_rank[rank].append(TrainingTurn(number))
        rank_costs[rank] += cost
    cheapest = TrainingTurn(by_cost[-1][0], weight=0)
    return [turns + [cheapest] * (per_rank - len(turns)) for turns in turns_by_rank]
