"""One rank of a small training by Hugging Face's Trainer on gloo, fed by our sampler; it logs the samples of each step."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.examples import Example
from dmforge.curation.shards.sampler import BatchSampler, CorpusDataset


class Scale(torch.nn.Module):
    """A model of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, lengths: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (weights * (self.weight * lengths - 1) ** 2).sum() / weights.sum().clamp(min=1)}


def collate(batch: list[tuple[Example, int]]) -> dict[str, Any]:
    return {
        "lengths": torch.tensor([len(example.grid) / 1000 for example, _ in batch]),
        "weights": torch.tensor([float(weight) for _, weight in batch]),
        "ids": [example.sample.id for example, weight in batch if weight],
    }


class Fed(Trainer):
    """A trainer whose batches come from our sampler."""

    def __init__(self, corpus: Corpus, log: Path, args: TrainingArguments) -> None:
        super().__init__(Scale(), args, train_dataset=CorpusDataset([corpus]), data_collator=collate)  # pyright: ignore
        ranks = args.world_size
        self.sampler = BatchSampler([corpus], seed=3, max_tokens=6000, rank=args.process_index, ranks=ranks)
        self.log_file = log

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_dataset, batch_sampler=self.sampler, collate_fn=collate, num_workers=1)  # pyright: ignore

    def training_step(self, model: Any, inputs: Any, *args: Any) -> Any:
        with self.log_file.open("a") as file:
            file.write(json.dumps([self.state.global_step, inputs.pop("ids")]) + "\n")
        return super().training_step(model, inputs, *args)


class DiesAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            os._exit(9)


def main(folder: str, out: str, dies_at: int) -> None:
    args = TrainingArguments(
        output_dir=out, num_train_epochs=2, save_steps=3, use_cpu=True, report_to=[], disable_tqdm=True, logging_steps=1000,
        remove_unused_columns=False, learning_rate=0.01, lr_scheduler_type="constant", optim="sgd",
    )  # fmt: skip
    log = Path(out, f"rank{args.process_index}.jsonl")
    trainer = Fed(Corpus(folder), log, args)
    if dies_at:
        trainer.add_callback(DiesAt(dies_at))
    trainer.train(resume_from_checkpoint=any(Path(out).glob("checkpoint-*")))
    with log.open("a") as file:
        file.write(json.dumps(["weight", trainer.model.weight.item()]) + "\n")  # pyright: ignore


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
