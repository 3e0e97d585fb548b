"""Which checkpoint of a training is its best, and whether it still gets better: by what log.jsonl says was measured."""

from __future__ import annotations

from pathlib import Path

from dmforge.trainers.checkpoints import steps_of
from dmforge.trainers.training_log import logged_values
from dmforge.trainers.training_settings import HeldOutSettings, TrainingSettings

PREFIX = "evaluation/"
"""Before the names of figures in log.jsonl."""


def best_of(settings: TrainingSettings) -> tuple[Path, float] | None:
    """The best checkpoint that is there, with its figure; None where nothing was measured."""
    if settings.evaluation is None:
        return None
    out = Path(settings.out)
    step = best_step(out, settings.evaluation)
    checkpoint = None if step is None else steps_of(out).get(step)
    return (checkpoint, logged_values(out, PREFIX + settings.evaluation.best_by)[step]) if step and checkpoint else None


def best_step(out: Path, settings: HeldOutSettings) -> int | None:
    """The step that was measured to be the best; of equals the first."""
    values = logged_values(out, PREFIX + settings.best_by)
    return max(values, key=lambda step: (values[step], -step)) if values else None


def is_exhausted(out: Path, settings: HeldOutSettings, step: int) -> bool:
    """Whether the last measurements, as many as patience has, were no better than the best before them."""
    best = best_step(out, settings)
    if not settings.patience or best is None:
        return False
    later = [measured for measured in logged_values(out, PREFIX + settings.best_by) if best < measured <= step]
    return len(later) >= settings.patience
