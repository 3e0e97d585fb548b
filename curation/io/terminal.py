"""A console for people: control characters and markup in foreign text are shown, never obeyed."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from dmforge.schemas.visible import escaped, escaped_in_line


def duration_text(seconds: int) -> str:
    """A duration as people say it."""
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s"


class Terminal(Console):
    """A console that makes all characters of texts and table cells visible. Only dmforge's own styles apply."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text; every printed text passes here."""
        return super().render_str(escaped(text), **options)

    def print_line(self, text: str) -> None:
        """Print a text as one line, line ends made visible."""
        self.print(escaped_in_line(text), highlight=False)
