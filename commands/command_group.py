"""A group of commands that builds the one which is called, and turns errors and Ctrl-C into a message and an exit code."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_command_name
from typer.models import CommandInfo

from dmforge.commands import console
from dmforge.commands.help_page import Row, first_paragraph, help_page
from dmforge.schemas.errors import DmforgeError, InputError

FAILING_DISK = (errno.EIO, errno.ESTALE, errno.ENOLCK, errno.EDQUOT, errno.ENOSPC)


class PlainCommand(TyperCommand):
    """A command whose help is drawn without rich."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(help_page(self, ctx))


class LazyCommands(Mapping[str, Any]):
    """Registered commands by name, each built when it is asked for: there are over thirty, and Typer takes two milliseconds
    for one."""

    def __init__(self, registry: typer.Typer) -> None:
        self.infos = {command_name(info): info for info in registry.registered_commands}
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            info = self.infos[name]
            info.cls = PlainCommand
            app_of_one = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
            app_of_one.registered_commands.append(info)
            self._built[name] = get_command(app_of_one)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)


class CommandGroup(TyperGroup):
    """The commands of dmforge: exit code 2 for wrong usage or input, 1 for what failed, 130 for what was interrupted."""

    registry: ClassVar[typer.Typer]
    """Where the commands are registered."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands: Any = LazyCommands(self.registry)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def command_rows(self, ctx: Any) -> list[Row]:
        """Each command with what it does, for the page of help."""
        return [
            (cmd_name, first_paragraph(info.help or (info.callback and info.callback.__doc__)))
            for cmd_name, info in self.commands.infos.items()
            if not info.hidden
        ]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(help_page(self, ctx))

    def invoke(self, ctx: Any) -> Any:
        try:
            with usable_paths():
                return super().invoke(ctx)
        except DmforgeError as error:
            err = console.err
            err.print(f"error: {error}", markup=False, highlight=False, style="red" if err.is_terminal else None)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            console.err.print("interrupted: run the same command again to go on")
            raise typer.Exit(130) from None


def group_of(registry: typer.Typer) -> type[CommandGroup]:
    """The group of the commands that are registered there."""
    return type("CommandGroup", (CommandGroup,), {"registry": registry, "__doc__": CommandGroup.__doc__})


def command_name(info: CommandInfo) -> str:
    """What a registered command is called: by its name, or its function's."""
    return info.name or get_command_name(getattr(info.callback, "__name__", ""))


@contextlib.contextmanager
def usable_paths() -> Generator[None]:
    """Turn errors about impossible paths, too long or in loops of links, into an InputError, and those of a disk that fails
    wherever it is read into words."""
    try:
        yield
    except OSError as error:
        if error.errno in FAILING_DISK:
            from dmforge.curation.io.atomic import disk_errors

            with disk_errors(Path(str(error.filename or "a file"))):
                raise
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ):
            raise
        reason = (error.strerror or str(error)).lower()
        raise InputError(reason, where=str(error.filename)[:200], hint="give a path that the system can have") from None
