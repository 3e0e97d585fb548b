"""Who calls a command: where progress is printed, and what the lock and the run's record say of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from dmforge.commands import console
from dmforge.curation.io.locations import without_secrets
from dmforge.curation.io.terminal import Terminal
from dmforge.schemas.visible import storable


@dataclass(frozen=True, slots=True)
class Caller:
    """A command line, or a line of Python."""

    console: Terminal
    """Where progress goes."""
    command: str


def command_line() -> Caller:
    """The command as typed; addresses without possible keys."""
    return Caller(console.err, storable(" ".join(["dmforge", *map(without_secrets, sys.argv[1:])])))


def python_call(call: str, arguments: Mapping[str, object], progress: bool) -> Caller:
    """A call of the API, with those of its arguments that are set."""
    arguments_text = ", ".join(
        f"{argument_name}={_printed(argument_value)}" for argument_name, argument_value in arguments.items() if argument_value
    )
    progress_console = console.err if progress else Terminal(stderr=True, soft_wrap=True, quiet=True)
    return Caller(progress_console, storable(f"python: {call}({arguments_text})"))


def _printed(value: object) -> str:
    """A value, or several; each address without what may be a secret in it."""
    printed_values = value if isinstance(value, tuple | list) else (value,)
    return " ".join(without_secrets(str(printed_value)) for printed_value in printed_values)
