"""Foreign text on a page: escaped, kept apart from what stands around it, and nothing in it that cannot be seen.

Questions, thoughts and file names come from models and strangers. Beside markup they may hold letters that turn the direction
of what follows, or none at all: those are shown by their numbers.
"""

from __future__ import annotations

import unicodedata
from itertools import groupby

from markupsafe import Markup, escape

from dmforge.schemas.visible import is_shown

MOST = 6_000
"""Characters of a text that a page shows; how many there are more is said."""


def visible(text: object, most: int = MOST) -> Markup:
    """A text as markup, isolated from the direction of its neighbours."""
    told, rest = _cut(str(text), most)
    more = Markup(' <span class="more">and {} characters more</span>').format(f"{rest:,}") if rest else Markup()
    return Markup("<bdi>{}</bdi>{}").format(runs(told), more)


def runs(text: str) -> Markup:
    """The text itself, what can't be seen by its number."""
    found = (Markup("").join(map(_named, run)) if odd else escape("".join(run)) for odd, run in groupby(text, _is_odd))
    return Markup("").join(found)


def plain(text: object, most: int = 200) -> str:
    """For attributes, which are text alone."""
    told, _ = _cut(str(text), most)
    return "".join(f"U+{ord(letter):04X}" if _is_odd(letter) else letter for letter in told)


def _cut(text: str, most: int) -> tuple[str, int]:
    whole = text.replace("\r\n", "\n")
    return whole[:most], max(0, len(whole) - most)


def _is_odd(letter: str) -> bool:
    return not is_shown(letter)


def _named(letter: str) -> Markup:
    name = unicodedata.name(letter, "a control character")
    return Markup('<span class="odd" title="{}">U+{}</span>').format(name.lower(), f"{ord(letter):04X}")
