"""Shards in training: a map-style dataset and a batch sampler, for any `torch.utils.data.DataLoader`.

Neither needs torch to be imported. The sampler is already dealt to ranks, so nobody may shard it again: a DataLoader that is
made with it goes as it is to the training loop, not through `accelerator.prepare`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from dmforge.curation.shards.corpus import Corpus, Example
from dmforge.curation.shards.order import Mix, Numbers, Plan, Turn, deal
from dmforge.schemas.errors import InputError


@dataclass(frozen=True, slots=True)
class State:
    """All that a reader needs to go on where another one stopped."""

    seed: int
    epoch: int
    step: int
    selections: tuple[str, ...]


class Examples:
    """The samples of several corpora, numbered through. Read by turns; each example comes with its turn's weight."""

    def __init__(self, corpora: Sequence[Corpus]) -> None:
        self.corpora = tuple(corpora)
        self._ends = list(accumulate(len(corpus) for corpus in self.corpora))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, turn: Turn) -> tuple[Example, int]:
        return self.__getitems__([turn])[0]

    def __getitems__(self, turns: Sequence[Turn]) -> list[tuple[Example, int]]:
        """What a DataLoader calls for a batch: each corpus is read once."""
        found: dict[int, Example] = {}
        wanted: dict[int, list[int]] = {}
        for number in dict.fromkeys(turn.number for turn in turns):
            wanted.setdefault(bisect_right(self._ends, number), []).append(number)
        for index, numbers in wanted.items():
            corpus = self.corpora[index]
            first = self._ends[index] - len(corpus)
            found |= zip(numbers, corpus.read([number - first for number in numbers]), strict=True)
        return [(found[turn.number], turn.weight) for turn in turns]


class BatchSampler:
    """The turns of one rank, step by step. Every rank takes the same number of steps, with equally many turns in each."""

    def __init__(
        self,
        corpora: Sequence[Corpus],
        *,
        seed: int,
        most_tokens: int,
        most_samples: int = 1 << 16,
        weights: Sequence[float] | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """`most_tokens` and `most_samples` bound the global batch, over all ranks."""
        if not 0 <= rank < ranks:
            raise InputError(f"there is no rank {rank} of {ranks}", mend="ranks count from 0")
        sizes = tuple(len(corpus) for corpus in corpora)
        self._mix = Mix(sizes, tuple(weights) if weights else (1.0,) * len(sizes), seed)
        self._each, self._ends = [corpus.costs for corpus in corpora], np.cumsum(sizes)
        self._bounds, self._rank, self._ranks = (most_tokens, most_samples), rank, ranks
        self._selections = tuple(corpus.manifest.selection for corpus in corpora)
        self._begin = 0
        self.plan = self.planned(0)

    def __len__(self) -> int:
        """Steps of the current epoch, those that were skipped included."""
        return len(self.plan)

    def __iter__(self) -> Iterator[list[Turn]]:
        begin, self._begin = self._begin, 0
        for step in range(begin, len(self.plan)):
            yield deal(self.plan.batch(step), self._costs, self._ranks)[self._rank]

    def set_epoch(self, epoch: int) -> None:
        """The next iteration goes through this epoch."""
        if epoch != self.plan.epoch:
            self.plan, self._begin = self.planned(epoch), 0

    def state(self, step: int) -> dict[str, Any]:
        """What to keep once so many steps of this epoch are done. Given by who trains: a DataLoader reads ahead."""
        return asdict(State(self._mix.seed, self.plan.epoch, step, self._selections))

    def resume(self, told: dict[str, Any]) -> None:
        """Go on from there. The number of ranks may have changed; the corpora and the seed may not."""
        state = State(told["seed"], told["epoch"], told["step"], tuple(told["selections"]))
        if (state.seed, state.selections) != (self._mix.seed, self._selections):
            mend = "resume with the corpora and the seed that the training began with, or begin anew"
            raise InputError("the state belongs to another training", where="selections or seed", mend=mend)
        self.set_epoch(state.epoch)
        self._begin = state.step

    def _costs(self, numbers: Numbers) -> Numbers:
        found = np.empty_like(numbers)
        corpora = np.searchsorted(self._ends, numbers, side="right")
        for corpus, (costs, end) in enumerate(zip(self._each, self._ends, strict=True)):
            own = corpora == corpus
            found[own] = costs[numbers[own] - (end - len(costs))]
        return found

    def planned(self, epoch: int) -> Plan:
        """The batches of any epoch."""
        return Plan(self._mix, self._costs, epoch, *self._bounds)
