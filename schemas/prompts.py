"""How a task is put to a policy: the coarse clip, then the question. Teacher and student are asked in the same words."""

from __future__ import annotations

from string import ascii_uppercase

from dmforge.schemas.records import Task
from dmforge.schemas.transcript import COARSE, Piece


def question_text(task: Task) -> str:
    """The question with its lettered options, if it has any."""
    return "\n".join([task.question, *lettered(task.options)])


def lettered(options: tuple[str, ...]) -> list[str]:
    """Options with their letters, as they are shown: `A. red`, `B. blue`, ..."""
    return [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]


def prompt(task: Task) -> tuple[Piece, ...]:
    """The pieces of a prompt: what stands before everything that the policy writes."""
    return COARSE, Piece("prompt", question_text(task))
