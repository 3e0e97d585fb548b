"""The base of all trainers: Hugging Face's Trainer with our order of samples, our checkpoints and our log."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import SCHEDULER_NAME, TRAINER_STATE_NAME
from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging

from dmforge.curation.io.atomic import make_folder, write_json
from dmforge.curation.io.terminal import Terminal
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.adapters import write_base
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.named_weights import whole_tensor
from dmforge.trainers import checkpoints, sharded_optimizer, training_log
from dmforge.trainers.best_checkpoint import best_step, is_exhausted
from dmforge.trainers.dataloading import RankBatchSampler
from dmforge.trainers.disk_errors import refusals
from dmforge.trainers.orderly_stop import OrderlyStop
from dmforge.trainers.required_packages import require_packages
from dmforge.trainers.sharding import load_state, shard, whole, whole_state
from dmforge.trainers.training_progress import TrainingProgress
from dmforge.trainers.training_settings import TrainingSettings

OPTIMIZERS = {"adamw": "adamw_torch_fused", "adafactor": "adafactor"}
"""What Hugging Face calls them; its Adafactor takes the learning rate as it is."""


class LogLastStep(TrainerCallback):
    """Logs the last step, whatever its number."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_log = control.should_log or state.global_step >= state.max_steps


class ResumableTrainer(Trainer):
    """A trainer whose checkpoints are complete, and which resumes from them exactly."""

    method: str
    """The name of the training method in a model's card."""

    def __init__(
        self,
        student: Student,
        settings: TrainingSettings,
        corpora: Sequence[Corpus],
        rounds: RankBatchSampler,
        args: TrainingArguments,
    ) -> None:
        self.student, self.corpora, self.rounds = student, tuple(corpora), rounds
        self._settings = settings
        self._is_sharded = settings.training.shard == "fsdp2" and args.world_size > 1
        if self._is_sharded:
            shard(student.model, args.device, args.world_size, bf16=args.bf16)
        self.stopped_by = ""
        super().__init__(student.model, args, processing_class=student.vocabulary.tokenizer)
        self.remove_callback(PrinterCallback)  # which prints dictionaries

    @property
    def out(self) -> Path:
        return Path(self._settings.out)

    def may_stop(self, step: int) -> bool:
        """Whether a checkpoint may be made after this step."""
        return True

    def batches_done(self) -> int:
        """The number of global batches used so far."""
        raise NotImplementedError

    def is_last(self, step: int) -> bool:
        """Whether a training ended with the checkpoint of this step, though it might have had more."""
        return self._settings.evaluation is not None and is_exhausted(self.out, self._settings.evaluation, step)

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs.to(self.args.device)

    def _prepare_context_parallel_inputs(self, model: Any, inputs: Any) -> Any:
        return torch.enable_grad, inputs

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # the base class would count tokens of a text; benchmarks/gpu.py says how we count

    def _track_num_input_tokens(self, inputs: Any) -> None:
        """Count nothing: the base class would look for a text."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log to callbacks and to log.jsonl."""
        super().log(logs, start_time)
        self.log_note(logs)

    def log_note(self, entry: Mapping[str, float | str]) -> None:
        """Append a line to log.jsonl."""
        if self.is_world_process_zero():
            training_log.append(self.out, self.state.global_step, entry)

    def spread(self, model: Any) -> Any:
        """A model beside the student, which goes where the student's weights are."""
        if not self._is_sharded:
            return model.to(self.args.device)
        shard(model, self.args.device, self.args.world_size, bf16=self.args.bf16)
        return model

    @contextmanager
    def rolling(self) -> Generator[None]:
        """Rollouts by the student itself: in the precision of updates, and ranks needn't wait for each other."""
        with self.accelerator.autocast(), whole(self.student.model):
            yield

    def _clip_grad_norm(self, model: Any) -> Any:
        norm: Any = super()._clip_grad_norm(model)
        return whole_tensor(norm)

    # checkpoints: written under .saving, then moved to their place

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.out / checkpoints.SAVING)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with refusals(self.out):
            super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            best = best_step(self.out, self._settings.evaluation) if self._settings.evaluation else None
            checkpoints.publish(self.out, self._settings.saving.keep, best)
        self.accelerator.wait_for_everyone()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if not self._is_sharded:
            super().save_model(output_dir, _internal_call)
            return
        weights = whole_state(self.student.model)
        if self.args.should_save:
            self._save(output_dir, weights)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self._is_sharded:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        make_folder(Path(output_dir))
        sharded_optimizer.save(
            self.optimizer, self._weight_names, Path(output_dir), self.args.process_index, self.args.world_size
        )
        if self.args.should_save:
            scheduler: Any = self.lr_scheduler
            torch.save(scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self._is_sharded:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        stored = load(resume_from_checkpoint, self.student.model.dtype, dialect=self._settings.model.dialect)
        load_state(self.student.model, stored.model.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not (self._is_sharded or sharded_optimizer.has_rows(Path(checkpoint))):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        sharded_optimizer.load(self.optimizer, self._weight_names, Path(checkpoint))
        scheduler: Any = self.lr_scheduler
        scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))

    @property
    def _weight_names(self) -> dict[torch.Tensor, str]:
        return {weight: name for name, weight in self.student.model.named_parameters()}

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save and output_dir:
            output_folder = Path(output_dir)
            self.student.save_all_but_weights(output_folder)
            if self._settings.model.adapters:
                write_base(output_folder, self.student.where)
            family = self.student.model.config.model_type
            checkpoints.write_card(output_folder, self._settings, self.corpora, self.state.global_step, self.method, family)
            write_json(output_folder / checkpoints.READER, self.rounds.state(self.batches_done()))

    def to_the_end(self, callbacks: Sequence[TrainerCallback]) -> Path:
        """Train from the last complete checkpoint to the last step, and return the last checkpoint."""
        progress = TrainingProgress(self.method, Terminal(stderr=True, soft_wrap=True))
        for trainer_callback in (LogLastStep(), OrderlyStop(self), *callbacks, progress):
            self.add_callback(trainer_callback)
        self.accelerator.wait_for_everyone()  # the first process has made the folder, and removed what was not finished
        last_checkpoint = get_last_checkpoint(str(self.out))
        if last_checkpoint:
            self.rounds.resume(json.loads((Path(last_checkpoint) / checkpoints.READER).read_bytes()))
        last_step = int(last_checkpoint.rpartition("-")[2]) if last_checkpoint else 0
        if self.args.process_index == 0:
            training_log.truncate(self.out, last_step)
        self.accelerator.wait_for_everyone()
        if last_checkpoint and self.is_last(last_step):
            self.state = TrainerState.load_from_json(str(Path(last_checkpoint) / TRAINER_STATE_NAME))
            return Path(last_checkpoint)
        self.train(resume_from_checkpoint=last_checkpoint)
        _end_wandb()
        return [*checkpoints.steps_of(self.out).values()][-1]


def _end_wandb() -> None:
    """Weights & Biases says where its run lies when a process ends, on stdout; what is printed there then is a result."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


def training_arguments(settings: TrainingSettings, **overrides: Any) -> TrainingArguments:
    """Our settings as Hugging Face's arguments, after checking that all packages they name are installed."""
    require_packages(settings)
    logging.disable_progress_bar()  # of loading and saving weights: a training shows its own
    training, saving = settings.training, settings.saving
    args = TrainingArguments(
        output_dir=settings.out, max_steps=training.steps, learning_rate=training.learning_rate,
        optim=OPTIMIZERS[training.optimizer], lr_scheduler_type=training.schedule, warmup_steps=training.warmup_steps,
        weight_decay=training.weight_decay,
        adam_beta1=training.betas[0], adam_beta2=training.betas[1], max_grad_norm=training.max_grad_norm, seed=training.seed,
        bf16=training.bf16, gradient_checkpointing=training.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False}, save_strategy="steps", save_steps=saving.save_every,
        logging_steps=saving.log_every, report_to=list(saving.report_to), disable_tqdm=True,
        use_cpu=saving.device == "cpu" or not torch.accelerator.is_available(),  # else bf16 asks for a GPU
        remove_unused_columns=False, ignore_data_skip=True, average_tokens_across_devices=False,
        ddp_find_unused_parameters=False, dataloader_num_workers=settings.data.workers, **overrides,
    )  # fmt: skip
    # `accelerate launch` sets a precision of its own, which would change the weights without any trace in the card
    args.mixed_precision = "bf16" if training.bf16 else "no"
    return args
