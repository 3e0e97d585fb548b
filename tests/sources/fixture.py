"""A file in the shape of a format, written by hand, and what an import of it must say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmforge.schemas.looks import Window


def w(*spans: tuple[float, float]) -> tuple[Window, ...]:
    return tuple(Window(round(start * 100), round(end * 100)) for start, end in spans)


@dataclass(frozen=True)
class Fixture:
    """A file in the shape of a format, and what it says."""

    form: str
    content: Any
    first: tuple[str, str, str, str, tuple[Window, ...]]
    """Video, kind, question, answer and windows of the first question."""
    kept: int
    rejected: dict[str, int] = field(default_factory=dict[str, int])
    flagged: dict[str, int] = field(default_factory=dict[str, int])
    beside: dict[str, Any] = field(default_factory=dict[str, Any])
    suffix: str = ".json"
    looks_like: str = ""
    """The format that it is taken for, where that is another one with the same keys."""


def written(fixture: Fixture, folder: Path) -> list[Path]:
    paths: list[Path] = []
    for name, content in {f"annotations{fixture.suffix}": fixture.content, **fixture.beside}.items():
        path = folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        paths.append(path)
    return paths
