"""Thoughts with and without leaks, written by people who never saw the rule."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dmforge.filters.rules.leaks import unleaked
from dmforge.filters.rules.rule import RuleInput
from dmforge.schemas.looks import Window

DEV = tuple(Path(__file__).parent / f"leaks_dev{number}.jsonl" for number in ("", *range(2, 10)))
"""The weights were fitted to these, each by another hand."""
WRITTEN = Path(__file__).parent / "leaks_written.txt"
"""And to these patterns of sentences, by the hand that wrote the rule."""
HELD_OUT = Path(__file__).parent / "leaks_heldout.jsonl"
"""And never to these."""


@dataclass(frozen=True)
class Thought:
    """A trajectory about a task, and whether it leaks."""

    name: str
    leaks: bool
    where: str
    """The thought that leaks: `T1`, `T2`."""
    rule_input: RuleInput

    @property
    def is_flagged(self) -> bool:
        return unleaked(self.rule_input).score == 0


def read(*paths: Path) -> list[Thought]:
    thoughts: list[Thought] = []
    for row in (json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()):
        windows = tuple(Window(round(start * 100), round(end * 100)) for start, end in row["windows"])
        rule_input = RuleInput(row["text"], row["kind"], row["question"], tuple(row["options"]), row["gold"], windows)
        thoughts.append(Thought(row["id"], row["leaks"], row["where"], rule_input))
    return thoughts


def missed(thoughts: list[Thought]) -> list[str]:
    """Those that leak, and pass."""
    return [thought.name for thought in thoughts if thought.leaks and not thought.is_flagged]


def falsely_flagged(thoughts: list[Thought]) -> list[str]:
    """Those that are sound, and don't pass."""
    return [thought.name for thought in thoughts if not thought.leaks and thought.is_flagged]
