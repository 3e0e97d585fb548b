"""The page of `--help`, drawn without rich: importing what Typer takes of it costs more than the rest of a start."""

from __future__ import annotations

import inspect
import os
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

BOLD, DIM, NAME_STYLE, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[1;36m", "\x1b[0m"
NAMES_SHARE = 0.45
"""How much of a panel its names may take; longer ones are broken."""
MIN_COLUMNS = 40

Row = tuple[str, str]
"""A name, and what it is for."""


def help_page(command: Any, ctx: Any) -> str:
    """How a command is called, what it does, and its arguments, options and commands. Typer takes the styles out of what goes
    to a file."""
    columns = max(shutil.get_terminal_size().columns, MIN_COLUMNS)
    argument_rows, option_rows = list[Row](), list[Row]()
    for parameter in command.get_params(ctx):
        if (help_record := parameter.get_help_record(ctx)) is not None:
            (argument_rows if parameter.param_type_name == "argument" else option_rows).append(help_record)
    lines = ["", *_prose(command.get_usage(ctx), columns, BOLD), "", *_prose(command.help or "", columns), ""]
    for title, rows in (("Arguments", argument_rows), ("Options", option_rows), ("Commands", _command_rows(command, ctx))):
        if rows:
            lines += _panel(title, rows, columns)
    return "\n".join([*lines, ""])


def _command_rows(command: Any, ctx: Any) -> list[Row]:
    return command.command_rows(ctx) if hasattr(command, "command_rows") else []


def first_paragraph(text: str | None) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


def _prose(text: str, columns: int, style: str = "") -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        for line in textwrap.wrap(" ".join(paragraph.split()), columns - 2, break_on_hyphens=False):
            yield f" {_styled(line, style)}"


def _panel(title: str, rows: Sequence[Row], columns: int) -> Iterator[str]:
    """Rows in a frame: names on the left, what they are for beside them."""
    name_columns = min(max(len(name) for name, _ in rows), int(columns * NAMES_SHARE))
    text_columns = columns - name_columns - 6  # the frame with its spaces, and two between the columns
    yield _styled(f"╭─ {title} {'─' * (columns - len(title) - 5)}╮", DIM)
    for name, text in rows:
        name_lines = textwrap.wrap(name, name_columns, break_on_hyphens=False)
        text_lines = textwrap.wrap(text.replace("  [", " ["), text_columns, break_on_hyphens=False)
        for line_number in range(max(len(name_lines), len(text_lines))):
            name_line = name_lines[line_number] if line_number < len(name_lines) else ""
            text_line = text_lines[line_number] if line_number < len(text_lines) else ""
            padded_name = _styled(name_line, NAME_STYLE) + " " * (name_columns - len(name_line))
            yield f"{_styled('│', DIM)} {padded_name}  {text_line.ljust(text_columns)} {_styled('│', DIM)}"
    yield _styled(f"╰{'─' * (columns - 2)}╯", DIM)


def _styled(text: str, style: str) -> str:
    return f"{style}{text}{PLAIN}" if text and style and not os.environ.get("NO_COLOR") else text
