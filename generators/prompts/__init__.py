"""The instructions that teachers are given, as files: their text is part of the work key of whoever uses them."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def instruction(name: str) -> str:
    """The text of a prompt file."""
    return (Path(__file__).parent / f"{name}.md").read_text("utf-8")
