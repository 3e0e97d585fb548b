"""Hugging Face's Trainer with our order of samples, our checkpoints and our log: what all trainings share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from dmforge.curation.atomic import disk_errors, write_json
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.load import Student
from dmforge.trainers import checkpoints
from dmforge.trainers.feed import Rounds
from dmforge.trainers.packages import require_packages
from dmforge.trainers.refusals import refusals
from dmforge.trainers.settings import TrainingSettings

LOG = "log.jsonl"


class LogsTheEnd(TrainerCallback):
    """The last step has a line in the log, whatever its number."""

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        control.should_log = control.should_log or state.global_step >= state.max_steps


class Keeping(Trainer):
    """What it leaves behind is whole; from there it goes on exactly."""

    way: str
    """What a card says that the steps were of."""

    def __init__(
        self, student: Student, settings: TrainingSettings, corpora: Sequence[Corpus], rounds: Rounds, args: TrainingArguments
    ) -> None:
        self.student, self.corpora, self.rounds = student, tuple(corpora), rounds
        self._told = settings
        super().__init__(student.model, args, processing_class=student.vocabulary.tokenizer)

    @property
    def out(self) -> Path:
        return Path(self._told.out)

    def batches_done(self) -> int:
        """Global batches that were used up so far."""
        raise NotImplementedError

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs.to(self.args.device)

    def _prepare_context_parallel_inputs(self, model: Any, inputs: Any) -> Any:
        return torch.enable_grad, inputs

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # its own guess counts tokens of a text; benchmarks/gpu.py says how we count

    def _track_num_input_tokens(self, inputs: Any) -> None:
        """Its own guess looks for a text, too."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """To whoever listens, and to log.jsonl."""
        super().log(logs, start_time)
        self.note(logs)

    def note(self, told: Mapping[str, float | str]) -> None:
        """A line of log.jsonl."""
        if self.is_world_process_zero():
            with disk_errors(self.out / LOG), (self.out / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": self.state.global_step, **told}) + "\n")

    # checkpoints: written beside, then put in their place

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.out / checkpoints.SAVING)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with refusals(self.out):
            super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            checkpoints.publish(self.out, self._told.saving.keep)
        self.accelerator.wait_for_everyone()

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save and output_dir:
            folder = Path(output_dir)
            self.student.save_all_but_weights(folder)
            checkpoints.write_card(folder, self._told, self.corpora, self.state.global_step, self.way)
            write_json(folder / checkpoints.READER, self.rounds.state(self.batches_done()))

    def to_the_end(self, callbacks: Sequence[TrainerCallback]) -> Path:
        """From where the last whole checkpoint stands to the last step; the last checkpoint."""
        for callback in (LogsTheEnd(), *callbacks):
            self.add_callback(callback)
        last = get_last_checkpoint(str(self.out))
        if last:
            self.rounds.resume(json.loads((Path(last) / checkpoints.READER).read_bytes()))
        if self.args.process_index == 0:
            _cut_log(self.out / LOG, int(last.rpartition("-")[2]) if last else 0)
        self.train(resume_from_checkpoint=last)
        return [*checkpoints.steps_of(self.out).values()][-1]


def arguments(settings: TrainingSettings, **more: Any) -> TrainingArguments:
    """Ours in Hugging Face's words, if all that they name is installed."""
    require_packages(settings)
    learning, saving = settings.training, settings.saving
    found = TrainingArguments(
        output_dir=settings.out, max_steps=learning.steps, learning_rate=learning.learning_rate,
        lr_scheduler_type=learning.schedule, warmup_steps=learning.warmup_steps, weight_decay=learning.weight_decay,
        adam_beta1=learning.betas[0], adam_beta2=learning.betas[1], max_grad_norm=learning.clip, seed=learning.seed,
        bf16=learning.bf16, gradient_checkpointing=learning.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False}, save_strategy="steps", save_steps=saving.save_every,
        logging_steps=saving.log_every, report_to=list(saving.report_to), disable_tqdm=True,
        use_cpu=saving.device == "cpu" or not torch.accelerator.is_available(),  # else bf16 asks for a GPU
        remove_unused_columns=False, ignore_data_skip=True, average_tokens_across_devices=False,
        ddp_find_unused_parameters=False, dataloader_num_workers=settings.data.workers, **more,
    )  # fmt: skip
    # `accelerate launch` brings a precision of its own: it would change the weights, and no card would say so
    found.mixed_precision = "bf16" if learning.bf16 else "no"
    return found


def _cut_log(log: Path, step: int) -> None:
    """What was logged after the checkpoint is done again, and logged again."""
    if log.exists():
        lines = log.read_text("utf-8").splitlines(keepends=True)
        log.write_text("".join(line for line in lines if json.loads(line)["step"] <= step), "utf-8")
