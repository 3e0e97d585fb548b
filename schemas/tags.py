"""The tags of a trajectory stand here and nowhere else: four everywhere, and that of a box, which is one in its place only."""

from __future__ import annotations

import re
from typing import Final, Literal

TagName = Literal["think", "span", "fps", "answer"]
TAG_NAMES: Final[tuple[TagName, ...]] = ("think", "span", "fps", "answer")

OPEN: Final[dict[TagName, str]] = {name: f"<{name}>" for name in TAG_NAMES}
CLOSE: Final[dict[TagName, str]] = {name: f"</{name}>" for name in TAG_NAMES}

TAG: Final = re.compile(f"(</?(?:{'|'.join(TAG_NAMES)})>)")
"""Finds every tag, in linear time. A tag has no inner `<`, so text next to a tag can never make another one with it."""

BOX_OPEN: Final = "<box>"
BOX_CLOSE: Final = "</box>"
"""Tags right behind `</span>`, where nothing could stand before there were boxes. Anywhere else they are words, as they were in
texts of before, and no student has tokens for them: so they are none of `TAG_NAMES`."""
