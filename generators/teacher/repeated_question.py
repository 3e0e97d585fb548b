"""Cuts off what in a provider's message repeats the question: messages are logged, and prompts are not for every reader."""

from __future__ import annotations

from collections.abc import Iterable

QUOTED_CHARS, STEP_CHARS = 32, 8
"""So many characters in a row that stand in a question, looked for at every so many, are a quote of it."""


def without_question(words: str, asked_texts: Iterable[str]) -> str:
    """One line of words, up to where it repeats what was asked."""
    texts = [" ".join(text.split()) for text in asked_texts]
    for start in range(0, len(words) - QUOTED_CHARS + 1, STEP_CHARS):
        if any(words[start : start + QUOTED_CHARS] in text for text in texts):
            return f"{words[: max(0, start - STEP_CHARS)]}... (it repeats the question)"
    return words
