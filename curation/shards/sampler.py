"""A map-style dataset and a batch sampler over shards, for any `torch.utils.data.DataLoader`.

Neither needs torch to be imported. The sampler already distributes to ranks, so it must not be sharded again: a DataLoader
that is made with it goes as it is to the training loop, not through `accelerator.prepare`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dmforge.curation.shards.examples import Example
from dmforge.curation.shards.folders import Manifest
from dmforge.curation.shards.order import CorpusMix, EpochPlan, Numbers, TrainingTurn, deal
from dmforge.schemas.errors import InputError


class ExampleSource(Protocol):
    """What is dealt to ranks and read from: a corpus."""

    @property
    def manifest(self) -> Manifest:
        """Which selection it is."""
        ...

    @property
    def costs(self) -> npt.NDArray[np.int64]:
        """Estimated tokens of each sample."""
        ...

    def __len__(self) -> int: ...

    def read(self, sample_numbers: Sequence[int]) -> list[Example]:
        """Several samples at once."""
        ...


@dataclass(frozen=True, slots=True)
class ReaderState:
    """All that a sampler needs to resume where another one stopped."""

    seed: int
    epoch: int
    step: int
    selections: tuple[str, ...]


class CorpusDataset:
    """A dataset over the samples of several corpora, numbered through. Indexed by turns; an example comes with its weight."""

    def __init__(self, corpora: Sequence[ExampleSource]) -> None:
        self.corpora = tuple(corpora)
        self._ends = list(accumulate(len(source_corpus) for source_corpus in self.corpora))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, turn: TrainingTurn) -> tuple[Example, int]:
        return self.__getitems__([turn])[0]

    def __getitems__(self, turns: Sequence[TrainingTurn]) -> list[tuple[Example, int]]:
        """Read a batch, as a DataLoader calls it: each corpus is read once."""
        example_by_number: dict[int, Example] = {}
        numbers_by_corpus: dict[int, list[int]] = {}
        for global_sample_number in dict.fromkeys(turn.number for turn in turns):
            numbers_by_corpus.setdefault(bisect_right(self._ends, global_sample_number), []).append(global_sample_number)
        for corpus_index, global_numbers in numbers_by_corpus.items():
            corpus = self.corpora[corpus_index]
            first_global_number = self._ends[corpus_index] - len(corpus)
            example_by_number |= zip(
                global_numbers,
                corpus.read([global_number - first_global_number for global_number in global_numbers]),
                strict=True,
            )
        return [(example_by_number[turn.number], turn.weight) for turn in turns]


class BatchSampler:
    """Yields one rank's turns for each step. Every rank has the same number of steps, with equally many turns in each."""

    def __init__(
        self,
        corpora: Sequence[ExampleSource],
        *,
        seed: int,
        max_tokens: int,
        max_samples: int = 1 << 16,
        added_tokens: int = 0,
        weights: Sequence[float] | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """`max_tokens` and `max_samples` bound the global batch, over all ranks; `added_tokens` come to each sample's cost."""
        if not 0 <= rank < ranks:
            raise InputError(f"there is no rank {rank} of {ranks}", hint="ranks count from 0")
        corpus_sizes = tuple(len(corpus) for corpus in corpora)
        self._mix = CorpusMix(corpus_sizes, tuple(weights) if weights else (1.0,) * len(corpus_sizes), seed)
        self._corpus_costs, self._corpus_ends = [corpus.costs for corpus in corpora], np.cumsum(corpus_sizes)
        self._added_tokens = added_tokens
        self._batch_limits, self._rank, self._ranks = (max_tokens, max_samples), rank, ranks
        self._selections = tuple(corpus.manifest.selection for corpus in corpora)
        self._first_step = 0
        self.plan = self.plan_of(0)

    def __len__(self) -> int:
        """The number of steps of the current epoch, skipped ones included."""
        return len(self.plan)

    def __iter__(self) -> Iterator[list[TrainingTurn]]:
        first_step, self._first_step = self._first_step, 0
        for step in range(first_step, len(self.plan)):
            yield deal(self.plan.batch(step), self._costs, self._ranks)[self._rank]

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch of the next iteration."""
        if epoch != self.plan.epoch:
            self.plan, self._first_step = self.plan_of(epoch), 0

    def state(self, steps_done: int) -> dict[str, Any]:
        """The state to save once so many steps of this epoch are done. The trainer counts them: a DataLoader reads ahead."""
        return asdict(ReaderState(self._mix.seed, self.plan.epoch, steps_done, self._selections))

    def resume(self, state_values: dict[str, Any]) -> None:
        """Continue from a saved state. The number of ranks may have changed; the corpora and the seed may not."""
        reader_state = ReaderState(
            state_values["seed"], state_values["epoch"], state_values["step"], tuple(state_values["selections"])
        )
        if (reader_state.seed, reader_state.selections) != (self._mix.seed, self._selections):
            hint = "resume with the corpora and the seed that the training began with, or begin anew"
            raise InputError("the state belongs to another training", where="selections or seed", hint=hint)
        self.set_epoch(reader_state.epoch)
        self._first_step = reader_state.step

    def _costs(self, global_numbers: Numbers) -> Numbers:
        token_costs = np.empty_like(global_numbers)
        corpus_indices = np.searchsorted(self._corpus_ends, global_numbers, side="right")
        for corpus_index, (corpus_costs, corpus_end) in enumerate(zip(self._corpus_costs, self._corpus_ends, strict=True)):
            in_corpus = corpus_indices == corpus_index
            token_costs[in_corpus] = corpus_costs[global_numbers[in_corpus] - (corpus_end - len(corpus_costs))]
        return token_costs + self._added_tokens

    def plan_of(self, epoch: int) -> EpochPlan:
        """The plan of the batches of an epoch."""
        return EpochPlan(self._mix, self._costs, epoch, *self._batch_limits)
