"""Foreign text as it can be seen: nothing in it can turn, hide, colour or overwrite anything, or begin a line of its own.

File names, questions and what models wrote may hold the bytes that a terminal obeys, letters that turn the direction of what
follows, ends of lines that would split a row of a table in two, or halves of letters that no terminal takes. Each is shown by
its number.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

WELCOME = frozenset("\n\t\u200c\u200d\u00ad")
"""Not printable by themselves, and wanted: line ends, joiners of Indic scripts and emoji, soft hyphens."""
SUSPECT = re.compile(r"[^\n\t -~]")
"""The rest of a text is shown as it is, without asking what it is."""
BREAK = re.compile(r"[\n\t]")
"""What is wanted in a text, and not in a line."""


def seen(text: str) -> str:
    """The text, with what can't be seen by its number: `\\x1b`."""
    whole = text.replace("\r\n", "\n")
    return SUSPECT.sub(lambda found: found[0] if is_shown(found[0]) else _numbered(found), whole)


def in_line(text: str) -> str:
    """The text as a part of one line: with its line ends, too, by their numbers."""
    return BREAK.sub(_numbered, seen(text))


def seen_json(document: Any) -> str:
    """A document as JSON that says the same, with what can't be seen by its number there, too."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return SUSPECT.sub(lambda found: found[0] if is_shown(found[0]) else json.dumps(found[0])[1:-1], text)


def storable(text: str) -> str:
    """The text without halves of letters, which UTF-8 has none for: they are shown by their numbers."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_shown(letter: str) -> bool:
    """Whether a letter is shown as itself, and does nothing to its neighbours."""
    return letter.isprintable() or letter in WELCOME or unicodedata.category(letter) == "Zs"


def _numbered(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
