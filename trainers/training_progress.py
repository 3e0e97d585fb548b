"""Progress of a training on stderr: a bar on a terminal, a line each `[saving] log_every` updates elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from transformers import TrainerCallback

from dmforge.curation.io.terminal import Terminal, duration_text
from dmforge.trainers.best_checkpoint import PREFIX

FIGURES: Mapping[str, Callable[[float], str]] = MappingProxyType(
    {
        "loss": lambda value: f"loss {value:.4f}",
        "exact": lambda value: f"{value:.1%} of held-out samples known",
        "iou": lambda value: f"IoU {value:.3f}",
        "answer": lambda value: f"answers {value:.3f}",
        "format": lambda value: f"well-formed {value:.0%}",
        "looks": lambda value: f"{value:.2f} looks",
        "tokens_per_s": lambda value: f"{value:,.0f} tokens/s",
        "waiting": lambda value: f"waiting {value:.0%}",
        "seconds/rollout": lambda value: f"rollouts {value:.1f} s",
        "seconds/update": lambda value: f"update {value:.1f} s",
        f"{PREFIX}miou": lambda value: f"held out: mIoU {value:.3f}",
        f"{PREFIX}miou_set": lambda value: f"mIoU of the set {value:.3f}",
        f"{PREFIX}accuracy": lambda value: f"accuracy {value:.3f}",
        f"{PREFIX}format": lambda value: f"well-formed {value:.0%}",
    }
)
"""What is shown of a line of the log, in this order."""


class TrainingProgress(TrainerCallback):
    """Shows how far a training is, what it learns, and how long it will take."""

    def __init__(self, method: str, console: Terminal) -> None:
        self._method, self._console = method, console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._start_s, self._first_step = time.monotonic(), 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start_s, self._first_step = time.monotonic(), state.global_step
        if self._console.is_terminal and state.is_world_process_zero:
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}")
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task(self._method, total=state.max_steps, completed=state.global_step, figures="")
            self._bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar:
            self._bar.update(self._task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        figures = [say(logs[name]) for name, say in FIGURES.items() if name in logs]
        if not figures or not state.is_world_process_zero:
            return
        figures_text = ", ".join([*figures, self._time_left(state)])
        if self._bar and "loss" in logs:
            self._bar.update(self._task, figures=figures_text)
        else:
            self._console.print_line(f"{self._method}: {state.global_step} of {state.max_steps}: {figures_text}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar:
            self._bar.stop()

    def _time_left(self, state: Any) -> str:
        seconds_a_step = (time.monotonic() - self._start_s) / max(1, state.global_step - self._first_step)
        return f"{duration_text(int(seconds_a_step * (state.max_steps - state.global_step)))} left"
