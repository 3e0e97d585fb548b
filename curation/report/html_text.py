"""Foreign text on a page: escaped, kept apart from what stands around it, and nothing in it that cannot be seen.

Questions, thoughts and file names come from models and strangers. Beside markup they may hold letters that turn the direction
of what follows, or none at all: those are shown by their numbers.
"""

from __future__ import annotations

import unicodedata
from itertools import groupby

from markupsafe import Markup, escape

from dmforge.schemas.visible import is_shown

MAX_CHARS = 6_000
"""How many characters of a text a page shows; a suffix says how many more there are."""


def visible(text: object, max_chars: int = MAX_CHARS) -> Markup:
    """A text as markup, isolated from the direction of its neighbours."""
    shown_text, hidden_count = _cut(str(text), max_chars)
    hidden_chars_note = (
        Markup(' <span class="more">and {} characters more</span>').format(f"{hidden_count:,}") if hidden_count else Markup()
    )
    return Markup("<bdi>{}</bdi>{}").format(runs(shown_text), hidden_chars_note)


def runs(text: str) -> Markup:
    """The text as markup, with invisible characters shown by their numbers."""
    run_markups = (
        Markup("").join(map(_as_code_point, letter_run)) if is_odd else escape("".join(letter_run))
        for is_odd, letter_run in groupby(text, _is_odd)
    )
    return Markup("").join(run_markups)


def plain(text: object, max_chars: int = 200) -> str:
    """The text for an attribute, which is text alone, with invisible characters by their numbers."""
    shown_text, _ = _cut(str(text), max_chars)
    return "".join(f"U+{ord(text_char):04X}" if _is_odd(text_char) else text_char for text_char in shown_text)


def _cut(text: str, max_chars: int) -> tuple[str, int]:
    unix_text = text.replace("\r\n", "\n")
    return unix_text[:max_chars], max(0, len(unix_text) - max_chars)


def _is_odd(letter: str) -> bool:
    return not is_shown(letter)


def _as_code_point(letter: str) -> Markup:
    unicode_name = unicodedata.name(letter, "a control character")
    return Markup('<span class="odd" title="{}">U+{}</span>').format(unicode_name.lower(), f"{ord(letter):04X}")
