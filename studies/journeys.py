"""What students did on their way: a row a training, in a file that is whole whenever it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmforge.curation.io.atomic import writing

LISTS = ("iou", "right", "off_fps", "formed")


@dataclass(frozen=True, slots=True)
class Point:
    """What a student did after so many updates: a value a held-out world, in their order."""

    updates: int
    iou: tuple[float | None, ...]
    """Of its looks with what they should show; 0 without a look, nothing where none is needed."""
    right: tuple[int, ...]
    """Whether the answer is the colour that shows."""
    off_fps: tuple[float | None, ...]
    """How far the density was from the right one; None without a look."""
    formed: tuple[int, ...]
    """Whether the trajectory was well-formed."""
    further: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict[str, tuple[float | None, ...]])
    """What else is measured where several looks may be made, by name."""

    def values(self, measure: str) -> NDArray[np.float64]:
        """One of these lists; NaN where there is nothing to measure."""
        measured = getattr(self, measure) if measure in LISTS else self.further[measure]
        return np.array([np.nan if value is None else value for value in measured], np.float64)


@dataclass(frozen=True, slots=True)
class Row:
    """One training; or an imitation, before any."""

    scenario: str
    arm: str
    seed: int
    sft: int
    """The imitation that it began with."""
    cpu_s: float
    points: tuple[Point, ...]


def read(path: Path) -> list[Row]:
    """The rows of a file; none if there is none."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [_row(json.loads(line)) for line in lines]


def keep(path: Path, rows: Sequence[Row]) -> None:
    """All of them, or the file stays as it was."""
    with writing(path) as file:
        file.write("".join(json.dumps(_fields(row), separators=(",", ":")) + "\n" for row in rows).encode())


def _fields(row: Row) -> dict[str, Any]:
    fields = asdict(row)
    for point in fields["points"]:
        if not point["further"]:
            del point["further"]
    return fields


def _row(fields: dict[str, Any]) -> Row:
    return Row(**{**fields, "points": tuple(map(_point, fields["points"]))})


def _point(fields: dict[str, Any]) -> Point:
    further = {name: tuple(values) for name, values in fields.get("further", {}).items()}
    return Point(fields["updates"], *(tuple(fields[name]) for name in LISTS), further=further)
