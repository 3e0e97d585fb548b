"""Supervised fine-tuning: a student learns the tokens that teachers wrote, and none that it was only shown.

    loss = sum over policy tokens of -log p(token | all before it) / number of policy tokens

The number is that of the whole update, over its accumulated batches and all ranks, so neither how an update is cut into
batches nor how many ranks there are changes what is learnt. Ranks average their gradients; so each multiplies its part by
how many there are.

    dmforge train sft sft.toml                                                    # one process
    torchrun --nproc-per-node 8 -m dmforge.cli train sft sft.toml                  # eight GPUs, one process each
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainingArguments, set_seed

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.sampler import BatchSampler
from dmforge.generators.student.load_student import Student
from dmforge.trainers import checkpoints
from dmforge.trainers.base_trainer import ResumableTrainer, training_arguments
from dmforge.trainers.batches import ForwardBatch, logits_of, summed_loss
from dmforge.trainers.best_checkpoint import best_of
from dmforge.trainers.dataloading import KeptTranscripts, RankBatchSampler, TrainingCollator, data_loader
from dmforge.trainers.held_out import HeldOutEvaluation
from dmforge.trainers.model_setup import make_student, prepare_student
from dmforge.trainers.score_gate import ScoreGate, is_reached, last_score
from dmforge.trainers.training_checks import open_cot_corpora, require_room, require_sayable, require_sound
from dmforge.trainers.training_result import TrainingResult
from dmforge.trainers.training_settings import SftSettings


class SftTrainer(ResumableTrainer):
    """The trainer of SFT, with our order of samples and our loss."""

    method = "SFT"

    def __init__(self, student: Student, settings: SftSettings, corpora: Sequence[Corpus], args: TrainingArguments) -> None:
        self.settings = settings
        data_settings, rank_count = settings.data, args.world_size
        sampler = BatchSampler(
            corpora, seed=settings.training.seed, max_tokens=data_settings.max_tokens, max_samples=data_settings.max_samples,
            added_tokens=student.vocabulary.function_tokens,
            weights=[corpus.weight for corpus in data_settings.corpora], rank=args.process_index, ranks=rank_count,
        )  # fmt: skip
        rank_sampler = RankBatchSampler(sampler, settings.training.steps * settings.training.accumulation)
        self.collate = TrainingCollator(
            student.layout,
            corpora[0].clips,
            data_settings.layout,
            data_settings.max_tokens // rank_count,
            settings.model.dialect,
            KeptTranscripts(data_settings.keep_mb << 20),
        )
        super().__init__(student, settings, corpora, rank_sampler, args)
        # Qwen3-VL claims to take no number of items, and batches would be averaged whatever their size; we divide ourselves
        self.model_accepts_loss_kwargs = True
        self._data_wait_s = self._tokens = 0
        self._last_log_s = time.perf_counter()

    def batches_done(self) -> int:
        return self.state.global_step * self.args.gradient_accumulation_steps

    def is_last(self, step: int) -> bool:
        until = self.settings.until
        return super().is_last(step) or (until is not None and is_reached(self.out, until, step))

    def get_train_dataloader(self) -> DataLoader[Any]:
        pins_memory = self.args.device.type == "cuda"
        return data_loader(self.corpora, self.rounds, self.collate, self.settings.data.workers, pin=pins_memory)

    def get_batch_samples(
        self, epoch_iterator: Iterator[ForwardBatch], num_batches: int, device: torch.device
    ) -> tuple[Any, Any]:
        """The batches of an update, and the number of tokens that are learnt from them on all ranks."""
        start_s = time.perf_counter()
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        self._data_wait_s += time.perf_counter() - start_s
        token_counts = torch.tensor(
            [sum(batch.items for batch in batches), sum(batch.input_ids.numel() for batch in batches)], device=device
        )
        learnt_tokens, input_tokens = self.accelerator.reduce(token_counts).tolist()  # pyright: ignore[reportAttributeAccessIssue]
        self._tokens += input_tokens
        return batches, learnt_tokens

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        batch_loss = summed_loss(logits_of(model, inputs), inputs)
        return batch_loss * self.args.world_size / max(1, num_items_in_batch)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add to Hugging Face's metrics the tokens per second, and the share of time in which the model waited for data."""
        if "loss" in logs:
            since_last_log_s = time.perf_counter() - self._last_log_s
            logs |= {
                "tokens_per_s": round(self._tokens / since_last_log_s, 1),
                "waiting": round(self._data_wait_s / since_last_log_s, 4),
            }
            self._data_wait_s, self._tokens, self._last_log_s = 0.0, 0, time.perf_counter()
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self._last_log_s = time.perf_counter()


def train(settings: SftSettings, callbacks: Sequence[TrainerCallback] = ()) -> TrainingResult:
    """Train from the last complete checkpoint to the last step. `callbacks` are Hugging Face's."""
    args = training_arguments(settings, gradient_accumulation_steps=settings.training.accumulation)
    corpora = open_cot_corpora(settings.data, args.world_size)
    if args.process_index == 0:
        if settings.data.verify:
            require_sound(corpora)
        if settings.data.verify or settings.model.dialect != "span":  # a corpus that is large, and believed, is not read twice
            require_sayable(corpora, settings.model.dialect)
        checkpoints.sweep(Path(settings.out))
    set_seed(settings.training.seed)
    student = prepare_student(make_student(settings.model, corpora, settings.training.seed), settings.model)
    require_room(corpora, settings.data.max_tokens // args.world_size, student.vocabulary.function_tokens)
    trainer = SftTrainer(student, settings, corpora, args)
    start_s = time.perf_counter()
    if settings.until:
        callbacks = [ScoreGate(trainer, settings.until, trainer.collate), *callbacks]
    if settings.evaluation:
        callbacks = [HeldOutEvaluation(trainer, settings.evaluation), *callbacks]
    checkpoint = trainer.to_the_end(callbacks)
    last_loss = next(log_entry["loss"] for log_entry in reversed(trainer.state.log_history) if "loss" in log_entry)
    log_end = {"loss": last_loss, **(last_score(trainer.out) if settings.until else {})}
    best = best_of(settings)
    return TrainingResult(
        checkpoint, trainer.state.global_step, time.perf_counter() - start_s, log_end, best, trainer.stopped_by
    )
