"""Foreign text made safe to show: nothing in it can turn, hide, colour or overwrite anything, or begin a line of its own.

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
QUOTED_CHARS = 64
"""Letters of what was typed that a message quotes: as many as a sha256 has."""


def escaped(text: str) -> str:
    """The text, with invisible characters shown by their numbers: `\\x1b`."""
    unix_text = text.replace("\r\n", "\n")
    return SUSPECT.sub(
        lambda suspect_match: suspect_match[0] if is_shown(suspect_match[0]) else _as_escape(suspect_match), unix_text
    )


def escaped_in_line(text: str) -> str:
    """The text as a part of one line: its line ends, too, are shown by their numbers."""
    return BREAK.sub(_as_escape, escaped(text))


def escaped_json(document: Any) -> str:
    """A document as JSON that says the same, with invisible characters as escapes."""
    json_text = json.dumps(document, indent=1, ensure_ascii=False)
    return SUSPECT.sub(
        lambda suspect_match: suspect_match[0] if is_shown(suspect_match[0]) else json.dumps(suspect_match[0])[1:-1], json_text
    )


def shortened(text: str, max_chars: int = QUOTED_CHARS) -> str:
    """The beginning of a text, for a message or a line that quotes it."""
    return text if len(text) <= max_chars else text[:max_chars] + "..."


def storable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 can't hold, shown by their numbers."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_shown(letter: str) -> bool:
    """Whether a letter is shown as itself, and does nothing to its neighbours."""
    return letter.isprintable() or letter in WELCOME or unicodedata.category(letter) == "Zs"


def _as_escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
