"""Samples on their way into training: which ones, by our order; decoded and laid out in workers, so that the model needn't
wait."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader

from dmforge.curation.shards.corpus import Corpus, Example
from dmforge.curation.shards.order import Turn
from dmforge.curation.shards.sampler import BatchSampler, Examples
from dmforge.generators.footage import show
from dmforge.generators.renditions import footage_of
from dmforge.generators.student.layout import Laid, Layout
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.trainers.batches import Batch, pack, pad

AHEAD = 4
"""Batches that each worker has ready."""


class Rounds:
    """One rank's turns, epoch after epoch, from some batch on; what a DataLoader takes as a batch sampler."""

    def __init__(self, sampler: BatchSampler, batches: int) -> None:
        self._sampler, self._batches, self._first = sampler, batches, 0

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[Turn]]:
        left = self._batches - self._first
        while left > 0:
            for turns in self._sampler:
                yield turns
                left -= 1
                if not left:
                    return
            self._sampler.set_epoch(self._sampler.plan.epoch + 1)

    def state(self, done: int) -> dict[str, Any]:
        """What to keep once so many batches went into the model. The sampler itself may be further: workers read ahead."""
        return {**self._sampler.state(0), "epoch": 0, "batches": done}

    def resume(self, told: dict[str, Any]) -> None:
        """Go on where another training stopped, with any number of ranks."""
        epoch, step = 0, int(told["batches"])
        self._first = step
        while step >= (steps := len(self._sampler.plan_of(epoch))):
            epoch, step = epoch + 1, step - steps
        self._sampler.resume({"seed": told["seed"], "selections": told["selections"], "epoch": epoch, "step": step})


@dataclass(frozen=True)
class Collate:
    """Examples become a batch: frames are decoded and cut as the corpus says, the transcript is laid out around them."""

    layout: Layout
    clips: Clips
    arrangement: Literal["packed", "padded"]
    most_tokens: int
    """Of one rank."""

    def __call__(self, examples: Sequence[tuple[Example, int]]) -> Batch:
        laids = [self.laid(example) for example, _ in examples]
        weights = [weight for _, weight in examples]
        if self.arrangement == "packed":
            return pack(laids, weights)
        return pad(laids, self.layout.vocabulary.padding, weights)

    def laid(self, example: Example) -> Laid:
        """One sample as the model takes it."""
        sample = example.sample
        shown = show(sample.transcript.pieces, footage_of(example, self.clips))
        laid = self.layout.join(self.layout.transcript(shown))
        if len(laid) > self.most_tokens:
            raise over_budget(len(laid), self.most_tokens, f"{example.packed.where}: {sample.id}")
        return laid


def over_budget(tokens: int, most: int, where: str) -> InputError:
    """A sample that doesn't fit into a rank's share of a batch."""
    mend = f"raise most_tokens by {-(-tokens // most)} times, take fewer ranks, or pack with clips that cost less"
    return InputError(f"a sample of {tokens} tokens is over the budget of {most} for each rank", where=where, mend=mend)


def loader(corpora: Sequence[Corpus], rounds: Rounds, collate: Collate, workers: int, *, pin: bool) -> DataLoader[Batch]:
    """The batches of a training, in their order."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # workers are forked: its threads would be gone there
    ahead: dict[str, Any] = {"prefetch_factor": AHEAD, "worker_init_fn": alone} if workers else {}
    return DataLoader(
        Examples(corpora),  # pyright: ignore[reportArgumentType] (it is read by turns, not by numbers)
        batch_sampler=rounds,  # pyright: ignore[reportArgumentType]
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        **ahead,
    )


def alone(worker: int) -> None:
    """Each worker has one core."""
    torch.set_num_threads(1)
