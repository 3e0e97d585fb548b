"""What is printed for people: foreign text can't turn, hide, colour or overwrite anything on the terminal that shows it.

File names, questions and what models wrote may hold the bytes that a terminal obeys, letters that turn the direction of what
follows, or halves of letters that no terminal takes. Each is shown by its number; markup and names of emoji are text like any.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

WELCOME = frozenset("\n\t\u200c\u200d\u00ad")
"""Not printable by themselves, and wanted: line ends, joiners of Indic scripts and emoji, soft hyphens."""
SUSPECT = re.compile(r"[^\n\t -~]")
"""The rest of a text is shown as it is, without asking what it is."""


class Terminal(Console):
    """A console that prints texts and cells of tables as they can be seen. Styles are given by us alone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed passes here."""
        return super().render_str(seen(text), **options)


def seen(text: str) -> str:
    """The text, with what can't be seen by its number: `\\x1b`."""
    whole = text.replace("\r\n", "\n")
    return SUSPECT.sub(lambda found: found[0] if _is_shown(found[0]) else found[0].encode("unicode_escape").decode(), whole)


def seen_json(document: Any) -> str:
    """A document as JSON that says the same, with what can't be seen by its number there, too."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return SUSPECT.sub(lambda found: found[0] if _is_shown(found[0]) else json.dumps(found[0])[1:-1], text)


def storable(text: str) -> str:
    """The text without halves of letters, which UTF-8 has none for: they are shown by their numbers."""
    return text.encode("utf-8", "backslashreplace").decode()


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter in WELCOME or unicodedata.category(letter) == "Zs"
