"""A training that is told to stop makes a checkpoint first: at SIGUSR1, and at SIGTERM, with which schedulers end a job.

All ranks stop after the same update, as soon as one of them has been told. A second signal of the same kind ends it at once.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Protocol

import torch
from transformers import TrainerCallback

SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


class StoppableTrainer(Protocol):
    """A trainer that can be stopped between updates."""

    stopped_by: str
    """The signal that stopped it; empty where none did."""
    accelerator: Any

    def may_stop(self, step: int) -> bool:
        """Whether a checkpoint may be made after this step."""
        ...


class OrderlyStop(TrainerCallback):
    """Stops a trainer, with a checkpoint, after the update in which it was told to."""

    def __init__(self, trainer: StoppableTrainer) -> None:
        self._trainer = trainer
        self._received: int | None = None
        self._handlers_before: dict[int, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if threading.current_thread() is threading.main_thread():  # only there Python lets signals be handled
            self._handlers_before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        signal.signal(number, self._handlers_before[number])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._trainer.may_stop(state.global_step):
            return
        number = self._received or 0
        if args.world_size > 1:
            number = int(self._trainer.accelerator.gather(torch.tensor([number], device=args.device)).max())
        if number and state.global_step < state.max_steps:
            self._trainer.stopped_by = signal.Signals(number).name
            control.should_training_stop = control.should_save = control.should_log = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
