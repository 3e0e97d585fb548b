"""The written form of a box in a look, `<box>120 40 560 800</box>`, and what is wrong with a text that stands in its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from dmforge.schemas.looks import PICTURE_SIDE, Box, print_box, read_box, read_box_sides
from dmforge.schemas.tags import BOX_CLOSE, BOX_OPEN

BoxRule = Literal[
    "box_not_canonical", "box_outside", "box_empty", "box_reversed", "box_unclosed", "box_doubled", "box_after_fps"
]

MAX_BOX_CHARS = len(f"{BOX_OPEN}1000 1000 1000 1000{BOX_CLOSE}")
"""The longest box: what is searched for one is no longer, so the time stays linear."""


class BoxFault(NamedTuple):
    """A fault of a box, with its place in the text."""

    rule: BoxRule
    expected: str
    start: int
    end: int


def written_box(box: Box | None) -> str:
    """A box as it stands between `</span>` and `<fps>`; nothing for the whole picture."""
    return "" if box is None else f"{BOX_OPEN}{print_box(box)}{BOX_CLOSE}"


def read_written_box(text: str) -> Box | None:
    """The inverse of `written_box` for a box; None for any other text."""
    is_element = text.startswith(BOX_OPEN) and text.endswith(BOX_CLOSE)
    return read_box(text[len(BOX_OPEN) : -len(BOX_CLOSE)]) if is_element else None


def length_of_box(text: str, start: int = 0) -> int:
    """How many characters a box has that stands at this place, even one outside the picture; 0 where there is none.

    Right behind a density it comes too late, since the runtime has cut at `</fps>`; there it is a fault and no words, so that
    nobody takes it for obeyed. Any other text there is words, `<box>` included.
    """
    excerpt = text[start : start + MAX_BOX_CHARS]
    if not excerpt.startswith(BOX_OPEN):
        return 0
    content_end = excerpt.find(BOX_CLOSE)
    is_box = content_end >= 0 and read_box_sides(excerpt[len(BOX_OPEN) : content_end]) is not None
    return content_end + len(BOX_CLOSE) if is_box else 0


def end_of_box(text: str, start: int, limit: int) -> int:
    """The place behind the box that begins at `start`; `start` itself where none begins, `limit` where it is not closed."""
    if not text.startswith(BOX_OPEN, start, limit):
        return start
    content_end = text.find(BOX_CLOSE, start, limit)
    return limit if content_end < 0 else content_end + len(BOX_CLOSE)


def box_faults(text: str, start: int, limit: int) -> Iterator[BoxFault]:
    """What is wrong with the box that begins at `start`, if one begins there, and with further ones behind it."""
    box_end = end_of_box(text, start, limit)
    if box_end == start:
        return
    if not text.endswith(BOX_CLOSE, start, box_end):
        yield BoxFault("box_unclosed", f"{BOX_CLOSE} before the density", start, start + len(BOX_OPEN))
        return
    content_start, content_end = start + len(BOX_OPEN), box_end - len(BOX_CLOSE)
    rule_and_expected = _content_fault(text[content_start:content_end])
    if rule_and_expected is not None:
        yield BoxFault(*rule_and_expected, content_start, content_end)
    if text.startswith(BOX_OPEN, box_end, limit):
        yield BoxFault("box_doubled", f"one {BOX_OPEN} a look", box_end, limit)


def _content_fault(text: str) -> tuple[BoxRule, str] | None:
    sides = read_box_sides(text)
    if sides is None:
        return "box_not_canonical", "left, upper, right and lower side in whole per mille of the picture, like 120 40 560 800"
    x1, y1, x2, y2 = sides
    if max(sides) > PICTURE_SIDE:
        return "box_outside", f"sides up to {PICTURE_SIDE}"
    if x1 > x2 or y1 > y2:
        return "box_reversed", "the left side before the right one, and the upper before the lower one"
    return ("box_empty", "sides that lie apart") if x1 == x2 or y1 == y2 else None
