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
        permuted_positions = self._permute(np.array(positions, np.uint64, ndmin=1), half_bits)
        while (is_outside := permuted_positions >= self.size).any():
            permuted_positions[is_outside] = self._permute(permuted_positions[is_outside], half_bits)
        return permuted_positions.astype(np.int64)

    def _permute(self, positions: npt.NDArray[np.uint64], half_bits: np.uint64) -> npt.NDArray[np.uint64]:
        half_mask = (np.uint64(1) << half_bits) - np.uint64(1)
        left_half, right_half = positions >> half_bits, positions & half_mask
        round_keys = np.frombuffer(self.key, "<u8")
        for round_index in range(FEISTEL_ROUNDS):
            left_half, right_half = (
                right_half,
                left_half
                ^ (
                    mix_bits(right_half + round_keys[round_index % 2] + np.uint64(round_index * 0x9E3779B97F4A7C15 % 2**64))
                    & half_mask
                ),
            )
        return (left_half << half_bits) | right_half


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
        return tuple(
            max(1, round(corpus_size * corpus_weight))
            for corpus_size, corpus_weight in zip(self.sizes, self.weights, strict=True)
        )

    def __len__(self) -> int:
        """The number of positions of an epoch."""
        return sum(self.shares)

    def at(self, epoch: int, positions: npt.ArrayLike) -> Numbers:
        """The numbers of the samples at these positions of an epoch."""
        permuted_positions = Bijection(len(self), digest("epoch", [self.seed, epoch]))(positions)
        sample_numbers = np.empty_like(permuted_positions)
        share_start = first_sample = 0
        for corpus_index, (corpus_size, corpus_share) in enumerate(zip(self.sizes, self.shares, strict=True)):
            in_corpus = (permuted_positions >= share_start) & (permuted_positions < share_start + corpus_share)
            # the corpus goes on where its last epoch ended: pass after pass over all of its samples
            pass_numbers, offsets_in_pass = np.divmod(
                epoch * corpus_share + permuted_positions[in_corpus] - share_start, corpus_size
            )
            pass_samples = np.empty_like(offsets_in_pass)
            for pass_index in np.unique(pass_numbers):
                pass_key = digest("pass", [self.seed, corpus_index, int(pass_index)])
                pass_samples[pass_numbers == pass_index] = Bijection(corpus_size, pass_key)(
                    offsets_in_pass[pass_numbers == pass_index]
                )
            sample_numbers[in_corpus] = first_sample + pass_samples
            share_start, first_sample = share_start + corpus_share, first_sample + corpus_size
        return sample_numbers


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
        step_count = chunk_start = 0
        while chunk_start < len(mix):
            batch_bounds = self._bounds(chunk_start)
            self._marks.append(chunk_start)
            self._firsts.append(step_count)
            step_count, chunk_start = step_count + len(batch_bounds) - 1, batch_bounds[-1]
        self._steps = step_count
        self._bounds = lru_cache(2)(self._bounds)

    def __len__(self) -> int:
        """The number of steps of the epoch."""
        return self._steps

    def batch(self, step: int) -> Numbers:
        """The numbers of the samples of a step."""
        if not 0 <= step < self._steps:
            raise IndexError(step)
        chunk_index = bisect_right(self._firsts, step) - 1
        batch_bounds, batch_in_chunk = self._bounds(self._marks[chunk_index]), step - self._firsts[chunk_index]
        return self.mix.at(self.epoch, np.arange(batch_bounds[batch_in_chunk], batch_bounds[batch_in_chunk + 1]))

    def _bounds(self, chunk_start: int) -> list[int]:
        """The positions at which batches begin, for about a chunk from `chunk_start` on, and where the next chunk starts."""
        chunk_positions = max(CHUNK_POSITIONS, 2 * self._max_samples)
        chunk_end = min(chunk_start + chunk_positions, len(self.mix))
        chunk_costs = self._costs(self.mix.at(self.epoch, np.arange(chunk_start, chunk_end)))
        cumulative_costs = np.concatenate([[0], np.cumsum(chunk_costs)])
        # for every position at once: where the batch ends that begins there. A sample beyond the budget is a batch alone
        last_fitting = np.searchsorted(cumulative_costs, cumulative_costs[:-1] + self._max_tokens, side="right") - 1
        sample_positions = np.arange(len(chunk_costs))
        batch_ends = np.clip(
            last_fitting, sample_positions + 1, np.minimum(sample_positions + self._max_samples, len(chunk_costs))
        ).tolist()
        batch_bounds, batch_end = [chunk_start], 0
        while batch_end < len(batch_ends):
            batch_end = batch_ends[batch_end]
            if batch_end == len(batch_ends) and chunk_end < len(self.mix):
                break  # this one might go on behind the chunk: the next chunk begins with it
            batch_bounds.append(chunk_start + batch_end)
        return batch_bounds


@dataclass(frozen=True, slots=True)
class TrainingTurn:
    """A sample that a rank processes in a step. With weight 0 it only fills up the rank's batch, and enters no loss."""

    number: int
    weight: int = 1


def deal(sample_numbers: Numbers, costs: Costs, rank_count: int) -> list[list[TrainingTurn]]:
    """Distribute a global batch to ranks: equally many samples each, filled up where needed, and about equally many tokens."""
    # a sample may come twice in a batch, where a corpus weighs more than 1
    numbers_by_cost = sorted(
        zip(sample_numbers.tolist(), costs(sample_numbers).tolist(), strict=True),
        key=lambda number_and_cost: (-number_and_cost[1], number_and_cost[0]),
    )
    samples_per_rank = -(-len(numbers_by_cost) // rank_count)
    turns_by_rank: list[list[TrainingTurn]] = [[] for _ in range(rank_count)]
    rank_costs = [0] * rank_count
    for sample_number, token_cost in numbers_by_cost:
        cheapest_rank = min(
            (rank for rank in range(rank_count) if len(turns_by_rank[rank]) < samples_per_rank),
            key=lambda rank: (rank_costs[rank], rank),
        )
        turns_by_rank[cheapest_rank].append(TrainingTurn(sample_number))
        rank_costs[cheapest_rank] += token_cost
    filler_turn = TrainingTurn(numbers_by_cost[-1][0], weight=0)
    return [rank_turns + [filler_turn] * (samples_per_rank - len(rank_turns)) for rank_turns in turns_by_rank]
