"""Learning curves: what the log of a training says, as lines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.atomic import disk_errors
from dmforge.schemas.errors import InputError

LOG = "log.jsonl"
MOST_POINTS, MOST_LINES = 400, 12
WIDTH, HEIGHT = 300.0, 80.0
LARGEST = 1e150
"""Beyond it, and where there is no number, nothing is drawn: differences of such values would be none."""
ASIDE = re.compile(r"step|epoch|train_.*")
"""No quantity, or one of the whole training, which Hugging Face says at its end."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over the updates of a training."""

    name: str
    points: str
    """As SVG wants them."""
    first: float
    last: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Training:
    """What one log says."""

    name: str
    steps: int
    curves: tuple[Curve, ...]


def training(place: Path) -> Training:
    """The curves of a training's folder, or of its log."""
    path = place / LOG if place.is_dir() else place
    if not path.is_file():
        missing = f"there is no {LOG} in it" if place.is_dir() else "there is no such folder or file"
        mend = "give the folder of a training, `out` of its settings; or its log.jsonl"
        raise InputError(f"no training here: {missing}", where=f"--training {place}", mend=mend)
    lines: list[Mapping[str, Any]] = []
    with disk_errors(path):
        texts = path.read_bytes().split(b"\n")
    for number, text in enumerate(texts, 1):
        try:
            if text.strip():
                line: Any = json.loads(text)
                lines.append({**line, "step": int(line["step"])})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            mend = "give the folder of a training, or its log.jsonl"
            raise InputError(f"not the log of a training: {error}", where=f"{path}:{number}", mend=mend) from None
    names = list(dict.fromkeys(name for line in lines for name, value in line.items() if _is_number(value)))
    curves = (_curve(name, [(line["step"], line[name]) for line in lines if _is_number(line.get(name))]) for name in names)
    shown = tuple(curve for curve in curves if curve is not None and not ASIDE.fullmatch(curve.name))
    return Training(place.name, max((line["step"] for line in lines), default=0), shown[:MOST_LINES])


def _curve(name: str, told: Sequence[tuple[int, float]]) -> Curve | None:
    if len(told) < 2:
        return None
    every = -(-len(told) // MOST_POINTS)
    told = [*told[:-1:every], told[-1]]
    (first, _), (last, _) = told[0], told[-1]
    values = [value for _, value in told]
    low, high = min(values), max(values)
    across, down = WIDTH / max(1, last - first), HEIGHT / ((high - low) or 1)
    points = " ".join(f"{(step - first) * across:.1f},{HEIGHT - (value - low) * down:.1f}" for step, value in told)
    return Curve(name, points, values[0], values[-1], low, high)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
