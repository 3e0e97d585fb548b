"""The four tags of a trajectory stand here and nowhere else."""

from __future__ import annotations

import re
from typing import Final, Literal

TagName = Literal["think", "span", "fps", "answer"]
TAG_NAMES: Final[tuple[TagName, ...]] = ("think", "span", "fps", "answer")

OPEN: Final[dict[TagName, str]] = {name: f"<{name}>" for name in TAG_NAMES}
CLOSE: Final[dict[TagName, str]] = {name: f"</{name}>" for name in TAG_NAMES}

TAG: Final = re.compile(f"(</?(?:{'|'.join(TAG_NAMES)})>)")
"""Finds every tag, in linear time. A tag has no inner `<`, so text next to a tag can never make another one with it."""
