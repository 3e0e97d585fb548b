"""DuckDB as dmforge opens it: within bounds of memory, with nothing loaded by itself, and its errors in our words."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from dmforge.schemas.errors import LakeError, first_line

CONNECTION: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # else four fifths of the machine's, and then a folder where the command happens to be given
    "memory_limit": f"{max(1024, 256 * (os.cpu_count() or 1))}MB",
    "temp_directory": str(Path(tempfile.gettempdir()) / f"dmforge-{os.getpid()}"),
}


@contextmanager
def interruptible() -> Generator[None]:
    """Ctrl-C during a query reaches Python as DuckDB's own error: here it is Ctrl-C again."""
    try:
        yield
    except duckdb.BinderException as error:  # our SQL is right for our columns
        message = first_line(error).lower()
        hint = "dmforge run: lists are written anew; or use the version that wrote it"
        raise LakeError(f"the lake was written by another version of dmforge: {message}", hint=hint) from None
    except RuntimeError as error:
        if "interrupted" not in str(error).lower():
            raise
        raise KeyboardInterrupt from None
