"""A group of commands that turns errors and Ctrl-C into a message and an exit code, without a traceback."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Generator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from dmforge.commands.console import err
from dmforge.curation.io.atomic import disk_errors
from dmforge.schemas.errors import DmforgeError, InputError

FAILING_DISK = (errno.EIO, errno.ESTALE, errno.ENOLCK, errno.EDQUOT, errno.ENOSPC)


class CommandGroup(TyperGroup):
    """The commands of dmforge: exit code 2 for wrong usage or input, 1 for what failed, 130 for what was interrupted."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with usable_paths():
                return super().invoke(ctx)
        except DmforgeError as error:
            err.print(f"error: {error}", markup=False, highlight=False, style="red" if err.is_terminal else None)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            err.print("interrupted: run the same command again to go on")
            raise typer.Exit(130) from None


@contextlib.contextmanager
def usable_paths() -> Generator[None]:
    """Turn errors about impossible paths, too long or in loops of links, into an InputError, and those of a disk that fails
    wherever it is read into words."""
    try:
        yield
    except OSError as error:
        if error.errno in FAILING_DISK:
            with disk_errors(Path(str(error.filename or "a file"))):
                raise
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ):
            raise
        reason = (error.strerror or str(error)).lower()
        raise InputError(reason, where=str(error.filename)[:200], hint="give a path that the system can have") from None
