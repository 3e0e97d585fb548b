"""Where the request of an answer in the journal came from: its stage, its prompt, which attempt. So audits compare prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FIELD = "asked"
"""The field of an answer. Answers of before, and such as came in a batch that nobody waited for any more, have none."""


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """The stage, the prompt and the attempt of the request that an answer came to."""

    stage: str | None = None
    prompt: str | None = None
    prompt_sha256: str | None = None
    """Of the instruction's text: it says which version of the prompt it was."""
    attempt: int | None = None


def with_origin(answer: Mapping[str, Any], stage: str, prompt: str, instruction: str, attempt: int) -> dict[str, Any]:
    """An answer that says what it was asked with."""
    return {**answer, FIELD: asdict(RequestOrigin(stage, prompt, hashlib.sha256(instruction.encode()).hexdigest(), attempt))}


def read_origin(answer: Mapping[str, Any]) -> RequestOrigin:
    """What an answer was asked with, as far as it says. What is no text, or no number, is left out."""
    fields = answer.get(FIELD)
    if not isinstance(fields, dict):
        return RequestOrigin()
    texts = {name: text for name in ("stage", "prompt", "prompt_sha256") if isinstance(text := fields.get(name), str)}
    for text in texts.values():
        text.encode()  # half a character could be stored nowhere
    attempt = fields.get("attempt")
    return RequestOrigin(**texts, attempt=attempt if type(attempt) is int and 0 <= attempt < 1 << 31 else None)
