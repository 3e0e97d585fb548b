"""Data loading for training: samples in our order, decoded and laid out in workers, so that the model needn't wait."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.examples import Example
from dmforge.curation.shards.order import TrainingTurn
from dmforge.curation.shards.sampler import BatchSampler, CorpusDataset
from dmforge.generators.footage import show
from dmforge.generators.rendition_footage import footage_of
from dmforge.generators.student.token_layout import LaidOutTranscript, TokenLayout
from dmforge.schemas.clips import Clips
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.errors import InputError
from dmforge.trainers.batches import ForwardBatch, pack, pad

PREFETCHED_BATCHES = 4
"""Batches that each worker prepares ahead."""


class RankBatchSampler:
    """The batch sampler of one rank, epoch after epoch, which can resume at any batch."""

    def __init__(self, sampler: BatchSampler, batches: int) -> None:
        self._sampler, self._batches, self._first_batch = sampler, batches, 0

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[TrainingTurn]]:
        batches_left = self._batches - self._first_batch
        while batches_left > 0:
            for rank_turns in self._sampler:
                yield rank_turns
                batches_left -= 1
                if not batches_left:
                    return
            self._sampler.set_epoch(self._sampler.plan.epoch + 1)

    def state(self, batches_done: int) -> dict[str, Any]:
        """The state to save once so many batches went into the model. The sampler itself may be further: workers read ahead."""
        return {**self._sampler.state(0), "epoch": 0, "batches": batches_done}

    def resume(self, sampler_state: dict[str, Any]) -> None:
        """Resume from the state of another training, with any number of ranks."""
        resumed_epoch, steps_left = 0, int(sampler_state["batches"])
        self._first_batch = steps_left
        while steps_left >= (epoch_steps := len(self._sampler.plan_of(resumed_epoch))):
            resumed_epoch, steps_left = resumed_epoch + 1, steps_left - epoch_steps
        self._sampler.resume(
            {
                "seed": sampler_state["seed"],
                "selections": sampler_state["selections"],
                "epoch": resumed_epoch,
                "step": steps_left,
            }
        )


class RepeatedBatchSampler(RankBatchSampler):
    """The batch sampler of a training with several updates from each round."""

    def __init__(self, sampler: BatchSampler, batch_count: int, updates_per_batch: int) -> None:
        super().__init__(sampler, batch_count)
        self._updates = updates_per_batch

    def __len__(self) -> int:
        """The number of updates, which is what Hugging Face counts."""
        return super().__len__() * self._updates


class KeptTranscripts:
    """Transcripts that stay laid out in a process for the next time, the first that fit."""

    def __init__(self, max_bytes: int = 0) -> None:
        self._bytes_left = max_bytes
        self._kept: dict[tuple[str, int], LaidOutTranscript] = {}

    def find(self, example: Example) -> LaidOutTranscript | None:
        return self._kept.get((example.packed.where, example.index))

    def add(self, example: Example, sequence: LaidOutTranscript) -> None:
        byte_count = sum(getattr(sequence, array_field.name).nbytes for array_field in fields(sequence))
        if byte_count <= self._bytes_left:
            self._bytes_left -= byte_count
            self._kept[example.packed.where, example.index] = sequence


@dataclass(frozen=True)
class TrainingCollator:
    """Makes a batch of examples: decodes frames as the corpus says and lays out the transcripts around them."""

    layout: TokenLayout
    clips: Clips
    arrangement: Literal["packed", "padded"]
    max_tokens: int
    """The most tokens of one rank's batch."""
    dialect: DialectName = "span"
    kept: KeptTranscripts = field(default_factory=KeptTranscripts)

    def __call__(self, examples: Sequence[tuple[Example, int]]) -> ForwardBatch:
        laid_out_transcripts = [self.lay_out(example) for example, _ in examples]
        sample_weights = [sample_weight for _, sample_weight in examples]
        if self.arrangement == "packed":
            return pack(laid_out_transcripts, sample_weights)
        return pad(laid_out_transcripts, self.layout.vocabulary.padding, sample_weights)

    def lay_out(self, example: Example) -> LaidOutTranscript:
        """The token sequence of one sample, with its frames."""
        kept_sequence = self.kept.find(example)
        if kept_sequence is not None:
            return kept_sequence
        sample = example.sample
        transcript = say_in(self.dialect, sample.transcript, f"{example.packed.where}: {sample.id}")
        shown_pieces = show(transcript.pieces, footage_of(example, self.clips))
        sequence = self.layout.join(self.layout.transcript(shown_pieces))
        if len(sequence) > self.max_tokens:
            raise over_budget_error(len(sequence), self.max_tokens, f"{example.packed.where}: {sample.id}")
        self.kept.add(example, sequence)
        return sequence


def over_budget_error(sample_tokens: int, max_tokens: int, where: str) -> InputError:
    """The error for a sample that doesn't fit into a rank's share of a batch."""
    hint = f"raise max_tokens by {-(-sample_tokens // max_tokens)} times, take fewer ranks, or pack with clips that cost less"
    return InputError(
        f"a sample of {sample_tokens} tokens is over the budget of {max_tokens} for each rank", where=where, hint=hint
    )


def data_loader(
    corpora: Sequence[Corpus], rounds: RankBatchSampler, collate: TrainingCollator, workers: int, *, pin: bool
) -> DataLoader[ForwardBatch]:
    """The DataLoader of a training's batches, in their order."""
    os.environ.setdefault(
        "TOKENIZERS_PARALLELISM", "false"
    )  # workers are forked: the tokenizer's threads would be missing there
    worker_options: dict[str, Any] = (
        {"prefetch_factor": PREFETCHED_BATCHES, "worker_init_fn": use_one_thread} if workers else {}
    )
    return DataLoader(
        CorpusDataset(corpora),  # pyright: ignore[reportArgumentType] (it is read by turns, not by numbers)
        batch_sampler=rounds,  # pyright: ignore[reportArgumentType]
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        **worker_options,
    )


def use_one_thread(worker: int) -> None:
    """Limit a worker to one thread."""
    torch.set_num_threads(1)
