"""What a command gives back: one document for programs, and lines and tables for people, on a terminal or in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from dmforge.schemas.visible import escaped_in_line

MAX_HTML_ROWS = 200
"""How many rows of a table a notebook shows."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table for people; numbers may stand in it as they are."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


Block = str | TextTable
"""A line, or a table."""


class CommandResult(ABC):
    """A typed result. The command line prints it, `--json` prints its document, and a notebook shows it as HTML."""

    __slots__ = ()

    @abstractmethod
    def as_json(self) -> Any:
        """The document of `--json`."""

    @abstractmethod
    def blocks(self) -> Iterable[Block]:
        """The lines and tables that a person reads."""

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return "".join(map(block_html, self.blocks()))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook or an interactive shell chooses from."""
        return {"text/html": self._repr_html_(), "text/plain": "\n".join(map(block_text, self.blocks()))}


class Listing(CommandResult):
    """Several results, one below the other."""

    def __init__(self, results: Sequence[CommandResult]) -> None:
        self._results = results

    def as_json(self) -> list[Any]:
        return [result.as_json() for result in self._results]

    def blocks(self) -> Iterable[Block]:
        return (block for result in self._results for block in result.blocks())


def is_number(cell: object) -> bool:
    """Whether a cell is set to the right: a number, also where it is printed as text already."""
    return not isinstance(cell, str) or cell.replace(".", "").isdigit()


def block_text(block: Block) -> str:
    """A line or a table as plain text."""
    if isinstance(block, str):
        return escaped_in_line(block)
    rows_with_header = [block.columns, *block.rows]
    cell_texts = [[escaped_in_line("" if cell is None else str(cell)) for cell in row_cells] for row_cells in rows_with_header]
    column_widths = [max(map(len, column_texts)) for column_texts in zip(*cell_texts, strict=True)]
    is_numeric_column = [is_number(cell) for cell in rows_with_header[-1]]
    return "\n".join(
        "  ".join(
            cell.rjust(column_width) if is_numeric else cell.ljust(column_width)
            for cell, column_width, is_numeric in zip(row_cells, column_widths, is_numeric_column, strict=True)
        ).rstrip()
        for row_cells in cell_texts
    )


def block_html(block: Block) -> str:
    """A line or a table as HTML; nothing in foreign text is markup."""
    if isinstance(block, str):
        return f"<div>{_escaped(block)}</div>"
    header_cells_html = "".join(f"<th>{_escaped(column_name)}</th>" for column_name in block.columns)
    rows_html = "".join(f"<tr>{''.join(map(_cell_html, row_cells))}</tr>" for row_cells in block.rows[:MAX_HTML_ROWS])
    hidden_rows = len(block.rows) - MAX_HTML_ROWS
    hidden_rows_html = f"<div>{hidden_rows} more rows</div>" if hidden_rows > 0 else ""
    return f"<table><thead><tr>{header_cells_html}</tr></thead><tbody>{rows_html}</tbody></table>{hidden_rows_html}"


def _cell_html(cell: object) -> str:
    style_attribute = ' style="text-align: right"' if is_number(cell) else ' style="text-align: left"'
    return f"<td{style_attribute}>{_escaped('' if cell is None else str(cell))}</td>"


def _escaped(text: str) -> str:
    return escape(escaped_in_line(text))
