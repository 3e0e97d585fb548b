"""A training in a process of its own, which may be made to die in the middle of writing a checkpoint, or right after a step."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from dmforge.trainers.sft import train
from dmforge.trainers.training_settings import read_sft


class DiesWhileSaving(TrainerCallback, ExportableState):
    """Callbacks are asked for their state when weights and optimizer are written, and the trainer's own state is not."""

    def __init__(self, step: int) -> None:
        self.step, self.now = step, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.now = state.global_step

    def state(self) -> dict[str, Any]:
        if self.now == self.step:
            os._exit(9)
        return {"args": {"step": self.step}, "attributes": {}}


class DiesAfterStep(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == self.step:
            os._exit(9)


if __name__ == "__main__":
    torch.set_num_threads(1)
    way, step = sys.argv[2], int(sys.argv[3])
    deaths = {"saving": [DiesWhileSaving(step)], "after": [DiesAfterStep(step)], "never": []}
    train(read_sft(Path(sys.argv[1])), deaths[way])
