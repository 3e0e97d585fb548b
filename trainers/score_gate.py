"""Ends a training once the student can do what it is for: measured on samples that it doesn't learn from, not by steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.token_layout import LaidOutTranscript
from dmforge.trainers.base_trainer import ResumableTrainer
from dmforge.trainers.batches import logits_of, pack
from dmforge.trainers.dataloading import TrainingCollator
from dmforge.trainers.training_checks import require_trajectory
from dmforge.trainers.training_log import logged_values
from dmforge.trainers.training_settings import UntilSettings

EXACT = "exact"
"""The name of the score in log.jsonl."""


class ScoreGate(TrainerCallback):
    """Stops a trainer, with a checkpoint, once its student knows enough of the held-out samples by heart."""

    def __init__(self, trainer: ResumableTrainer, settings: UntilSettings, collate: TrainingCollator) -> None:
        self._trainer, self._settings = trainer, settings
        corpus = Corpus(settings.corpus, collate.clips)
        examples = corpus.read(range(min(settings.samples, len(corpus))))
        for example in examples:  # of a task nothing is to be written: it would count as known
            require_trajectory(corpus, example.sample)
        sequences = [collate.lay_out(example) for example in examples]
        self._batches = list(_batches(sequences, collate.max_tokens))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self._settings.every:
            return
        score = self._score()
        self._trainer.log_note({EXACT: score})
        if score >= self._settings.exact:
            control.should_training_stop = control.should_save = control.should_log = True

    def _score(self) -> float:
        """The share of samples of which every token is the likeliest one; the mean over ranks, so that all stop together."""
        trainer = self._trainer
        model = trainer.student.model
        model.eval()
        with torch.no_grad(), trainer.compute_loss_context_manager():
            exact_samples = [is_exact for batch in self._batches for is_exact in _exact_samples(model, batch, trainer)]
        model.train()
        share = torch.tensor(sum(exact_samples) / len(exact_samples), device=trainer.args.device)
        return round(float(trainer.accelerator.reduce(share, "mean")), 4)  # pyright: ignore


def is_reached(out: Path, settings: UntilSettings, step: int) -> bool:
    """Whether the checkpoint of a step was the end: a finished training is not trained further."""
    return logged_values(out, EXACT).get(step, 0.0) >= settings.exact


def last_score(out: Path) -> dict[str, float]:
    """The last score, by its name; nothing where none was measured."""
    scores = [*logged_values(out, EXACT).values()]
    return {EXACT: scores[-1]} if scores else {}


def _batches(sequences: Sequence[LaidOutTranscript], max_tokens: int) -> Iterator[list[LaidOutTranscript]]:
    batch: list[LaidOutTranscript] = []
    for sequence in sequences:
        if batch and sum(map(len, batch)) + len(sequence) > max_tokens:
            yield batch
            batch = []
        batch.append(sequence)
    if batch:
        yield batch


def _exact_samples(model: torch.nn.Module, sequences: Sequence[LaidOutTranscript], trainer: ResumableTrainer) -> list[bool]:
    batch = pack(sequences).to(trainer.args.device)
    is_likeliest = (logits_of(model, batch).argmax(-1) == batch.targets)[0].cpu()
    token_counts = [int(sequence.trained[1:].sum()) for sequence in sequences]
    return [bool(sample_tokens.all()) for sample_tokens in is_likeliest.split(token_counts)]
