"""Learning curves of a training, drawn from its log."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.io.atomic import disk_errors
from dmforge.schemas.errors import InputError

LOG = "log.jsonl"
MAX_POINTS, MAX_CURVES = 400, 12
WIDTH, HEIGHT = 300.0, 80.0
MAX_VALUE = 1e150
"""Larger values are not drawn: differences of such values overflow."""
LEFT_OUT = re.compile(r"step|epoch|train_.*")
"""Keys of the log that are not drawn: counters, and figures of the whole training, which Hugging Face writes at its end."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over the updates of a training."""

    name: str
    points: str
    """The points of an SVG polyline."""
    first: float
    last: float
    min_value: float
    max_value: float
    first_step: int
    last_step: int


@dataclass(frozen=True, slots=True)
class TrainingCurves:
    """The curves of one training."""

    name: str
    steps: int
    curves: tuple[Curve, ...]


def training(location: Path) -> TrainingCurves:
    """The curves of a training's folder, or of its log."""
    log_path = location / LOG if location.is_dir() else location
    if not log_path.is_file():
        log_fault = f"there is no {LOG} in it" if location.is_dir() else "there is no such folder or file"
        hint = "give the folder of a training, `out` of its settings; or its log.jsonl"
        raise InputError(f"no training here: {log_fault}", where=f"--training {location}", hint=hint)
    log_entries: list[Mapping[str, Any]] = []
    with disk_errors(log_path):
        log_texts = log_path.read_bytes().split(b"\n")
    for line_number, line_text in enumerate(log_texts, 1):
        try:
            if line_text.strip():
                log_entry: Any = json.loads(line_text)
                log_entries.append({**log_entry, "step": int(log_entry["step"])})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            hint = "give the folder of a training, or its log.jsonl"
            raise InputError(f"not the log of a training: {error}", where=f"{log_path}:{line_number}", hint=hint) from None
    metric_names = list(
        dict.fromkeys(
            metric_name
            for log_entry in log_entries
            for metric_name, metric_value in log_entry.items()
            if _is_number(metric_value)
        )
    )
    curves = (
        _curve(
            metric_name,
            [
                (log_entry["step"], log_entry[metric_name])
                for log_entry in log_entries
                if _is_number(log_entry.get(metric_name))
            ],
        )
        for metric_name in metric_names
    )
    shown_curves = tuple(curve for curve in curves if curve is not None and not LEFT_OUT.fullmatch(curve.name))
    return TrainingCurves(
        location.name, max((log_entry["step"] for log_entry in log_entries), default=0), shown_curves[:MAX_CURVES]
    )


def _curve(metric_name: str, values_by_step: Sequence[tuple[int, float]]) -> Curve | None:
    if len(values_by_step) < 2:
        return None
    point_stride = -(-len(values_by_step) // MAX_POINTS)
    values_by_step = [*values_by_step[:-1:point_stride], values_by_step[-1]]
    (first_step, _), (last_step, _) = values_by_step[0], values_by_step[-1]
    metric_values = [metric_value for _, metric_value in values_by_step]
    min_value, max_value = min(metric_values), max(metric_values)
    x_scale, y_scale = WIDTH / max(1, last_step - first_step), HEIGHT / ((max_value - min_value) or 1)
    point_text = " ".join(
        f"{(step - first_step) * x_scale:.1f},{HEIGHT - (metric_value - min_value) * y_scale:.1f}"
        for step, metric_value in values_by_step
    )
    return Curve(metric_name, point_text, metric_values[0], metric_values[-1], min_value, max_value, first_step, last_step)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_VALUE <= value <= MAX_VALUE
