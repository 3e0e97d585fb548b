"""Supervised training: a student learns what teachers wrote, token by token, and nothing that it was only shown.

    loss = sum over policy tokens of -log p(token | what stands before it) / number of policy tokens

The number is that of the whole update, over its accumulated batches and all ranks, so neither how an update is cut into
batches nor how many ranks there are changes what is learnt. Ranks average their gradients; so each multiplies its part by
how many there are.

    dmforge train sft sft.toml                                                    # one process
    torchrun --nproc-per-node 8 -m dmforge.cli train sft sft.toml                  # eight GPUs, one process each
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from dmforge.curation.atomic import write_json
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.sampler import BatchSampler
from dmforge.generators.student.load import Student, load
from dmforge.generators.student.tiny import make_tiny
from dmforge.schemas.errors import InputError
from dmforge.trainers import checkpoints
from dmforge.trainers.batches import Batch, logits_of, summed_loss
from dmforge.trainers.checks import opened, require_sound
from dmforge.trainers.feed import Collate, Rounds, loader
from dmforge.trainers.settings import ModelSettings, SftSettings

LOG = "log.jsonl"
MOST_TEXTS = 2_000
"""Samples whose texts a tokenizer from scratch is trained on."""


class SftTrainer(Trainer):
    """Hugging Face's Trainer with our order of samples, our loss and our checkpoints."""

    def __init__(self, student: Student, settings: SftSettings, corpora: Sequence[Corpus], args: TrainingArguments) -> None:
        self.student, self.settings, self.corpora = student, settings, tuple(corpora)
        data, ranks = settings.data, args.world_size
        sampler = BatchSampler(
            corpora, seed=settings.training.seed, most_tokens=data.most_tokens, most_samples=data.most_samples,
            weights=[corpus.weight for corpus in data.corpora], rank=args.process_index, ranks=ranks,
        )  # fmt: skip
        self.rounds = Rounds(sampler, settings.training.steps * settings.training.accumulation)
        self.collate = Collate(student.layout, corpora[0].clips, data.layout, data.most_tokens // ranks)
        super().__init__(student.model, args, processing_class=student.vocabulary.tokenizer)
        # Qwen3-VL says that it takes no number of items, and batches would be averaged whatever they hold; we divide ourselves
        self.model_accepts_loss_kwargs = True
        self._waited_s = self._tokens = 0
        self._since_s = time.perf_counter()

    def get_train_dataloader(self) -> DataLoader[Any]:
        pin = self.args.device.type == "cuda"
        return loader(self.corpora, self.rounds, self.collate, self.settings.data.workers, pin=pin)

    def get_batch_samples(self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device) -> tuple[Any, Any]:
        """The batches of an update, and how many tokens are learnt from them on all ranks."""
        began = time.perf_counter()
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        self._waited_s += time.perf_counter() - began
        counts = torch.tensor([sum(b.items for b in batches), sum(b.input_ids.numel() for b in batches)], device=device)
        learnt, tokens = self.accelerator.reduce(counts).tolist()  # pyright: ignore[reportAttributeAccessIssue]
        self._tokens += tokens
        return batches, learnt

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs.to(self.args.device)

    def _prepare_context_parallel_inputs(self, model: Any, inputs: Any) -> Any:
        return torch.enable_grad, inputs

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # its own guess counts tokens of a text; benchmarks/gpu.py says how we count

    def _track_num_input_tokens(self, inputs: Any) -> None:
        """Counted in `get_batch_samples`."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        loss = summed_loss(logits_of(model, inputs), inputs)
        return loss * self.args.world_size / max(1, num_items_in_batch)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Beside what Hugging Face tells: tokens a second, and the share of time in which the model waited for data."""
        if "loss" in logs:
            spent_s = time.perf_counter() - self._since_s
            logs |= {"tokens_per_s": round(self._tokens / spent_s, 1), "waiting": round(self._waited_s / spent_s, 4)}
            self._waited_s, self._tokens, self._since_s = 0.0, 0, time.perf_counter()
        super().log(logs, start_time)
        if self.is_world_process_zero():
            with (Path(self.settings.out) / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": self.state.global_step, **logs}) + "\n")

    # checkpoints: written beside, then put in their place

    def _get_output_dir(self, trial: Any) -> str:
        return str(Path(self.settings.out) / checkpoints.SAVING)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            checkpoints.publish(Path(self.settings.out), self.settings.saving.keep)
        self.accelerator.wait_for_everyone()
        self._since_s = time.perf_counter()

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save and output_dir:
            folder, batches = Path(output_dir), self.state.global_step * self.args.gradient_accumulation_steps
            self.student.save_beside(folder)
            checkpoints.write_card(folder, self.settings, self.corpora, self.state.global_step)
            write_json(folder / checkpoints.READER, self.rounds.state(batches))


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training ends with."""

    checkpoint: Path
    steps: int
    loss: float
    seconds: float


def train(settings: SftSettings, callbacks: Sequence[TrainerCallback] = ()) -> Trained:
    """From where the last whole checkpoint stands to the last step. `callbacks` are Hugging Face's."""
    args = arguments(settings)
    corpora = opened(settings.data, args.world_size)
    out = Path(settings.out)
    if args.process_index == 0:
        if settings.data.verify:
            require_sound(corpora)
        checkpoints.sweep(out)
    set_seed(settings.training.seed)
    student = prepared(student_of(settings.model, corpora, settings.training.seed), settings.model)
    trainer = SftTrainer(student, settings, corpora, args)
    for callback in callbacks:
        trainer.add_callback(callback)
    last = get_last_checkpoint(str(out))
    if last:
        _go_on(trainer, Path(last))
    if args.process_index == 0:
        _cut_log(out / LOG, int(last.rpartition("-")[2]) if last else 0)
    began = time.perf_counter()
    trainer.train(resume_from_checkpoint=last)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Trained(
        [*checkpoints.steps_of(out).values()][-1], trainer.state.global_step, losses[-1], time.perf_counter() - began
    )


def arguments(settings: SftSettings) -> TrainingArguments:
    """Ours in Hugging Face's words."""
    told, saving = settings.training, settings.saving
    return TrainingArguments(
        output_dir=settings.out, max_steps=told.steps, gradient_accumulation_steps=told.accumulation,
        learning_rate=told.learning_rate, lr_scheduler_type=told.schedule, warmup_steps=told.warmup_steps,
        weight_decay=told.weight_decay, adam_beta1=told.betas[0], adam_beta2=told.betas[1], max_grad_norm=told.clip,
        seed=told.seed, bf16=told.bf16, gradient_checkpointing=told.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False}, save_strategy="steps", save_steps=saving.save_every,
        logging_steps=saving.log_every, report_to=list(saving.report_to), use_cpu=saving.device == "cpu", disable_tqdm=True,
        remove_unused_columns=False, ignore_data_skip=True, average_tokens_across_devices=False,
        ddp_find_unused_parameters=False, dataloader_num_workers=settings.data.workers,
    )  # fmt: skip


def student_of(settings: ModelSettings, corpora: Sequence[Corpus], seed: int) -> Student:
    """The student that is told, with the tags."""
    if settings.scratch:
        samples = corpora[0].read(range(min(MOST_TEXTS, len(corpora[0]))))
        texts = [piece.text for one in samples for piece in one.sample.transcript.pieces if piece.text]
        return make_tiny(settings.scratch, texts, seed)
    return load(settings.checkpoint, getattr(torch, settings.weights), add_missing_tags=settings.add_tags)


def prepared(student: Student, settings: ModelSettings) -> Student:
    """What doesn't learn is frozen; adapters and kernels are put in."""
    model = student.model.to(getattr(torch, settings.weights))
    if settings.attention == "flash_attention_2":
        model.set_attn_implementation("flash_attention_2")
    for pattern in settings.freeze:
        met = [weights for name, weights in model.named_parameters() if fnmatchcase(name, pattern)]
        if not met:
            parts = {re.split(r"\.(?:layers|blocks)\.", name)[0] for name, _ in model.named_parameters()}
            mend = f"names begin with: {', '.join(sorted(parts))}"
            raise InputError(f"no weight is called {pattern!r}", where="[model] freeze", mend=mend)
        for weights in met:
            weights.requires_grad_(False)
    if settings.adapters:
        from peft import LoraConfig, get_peft_model

        told = settings.adapters
        lora = LoraConfig(r=told.rank, lora_alpha=told.alpha, lora_dropout=told.dropout, target_modules=told.targets)  # pyright: ignore
        student.model = get_peft_model(model, lora)
    return student


def _go_on(trainer: SftTrainer, last: Path) -> None:
    """The order of samples goes on where the checkpoint stands."""
    trainer.rounds.resume(json.loads((last / checkpoints.READER).read_bytes()))


def _cut_log(log: Path, step: int) -> None:
    """What was logged after the checkpoint is done again, and logged again."""
    if log.exists():
        lines = log.read_text("utf-8").splitlines(keepends=True)
        log.write_text("".join(line for line in lines if json.loads(line)["step"] <= step), "utf-8")
