"""How a benchmark prints: one plain table, with the command that repeats it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence


def show(title: str, command: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table, so that it can go into benchmarks/results as it is."""
    cells = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    print(f"\n{title}\n`{command}`, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    for number, row in enumerate(cells):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
        if not number:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
