"""What formats of conversations share: pairs of turns, and the tags that stand for pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

TAG = re.compile(r"<(?:video|image|audio)>\n?")


def pairs(turns: Iterable[Any], role: str, content: str, user: str, assistant: str) -> Iterator[tuple[str, str]]:
    """Each thing that a user says, with what is answered."""
    for asked, answered in pairwise(turns):
        if asked[role] == user and answered[role] == assistant:
            yield asked[content], answered[content]


def untagged(text: str) -> str:
    """A text without the tags."""
    return TAG.sub("", text)
