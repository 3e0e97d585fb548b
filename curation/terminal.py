"""What is printed for people: foreign text is shown, never obeyed; markup and names of emoji are text like any."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from dmforge.schemas.visible import escaped, escaped_in_line


class Terminal(Console):
    """A console that prints texts and cells of tables as they can be seen. Styles are given by us alone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed passes here."""
        return super().render_str(escaped(text), **options)

    def print_line(self, text: str) -> None:
        """One line, whatever stands in the text."""
        self.print(escaped_in_line(text), highlight=False)
