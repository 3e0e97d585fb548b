"""Reads TOML files that people wrote; a file that is no TOML is one clear error."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from dmforge.curation.io.atomic import disk_errors
from dmforge.schemas.errors import InputError

MAX_BYTES = 1 << 20
MAX_LINE = 1 << 14
"""Bytes of a line: the parser's memory grows with the square of the parts of a dotted key."""


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    with disk_errors(path), path.open("rb") as file:
        toml_bytes = file.read(MAX_BYTES + 1)
    return parse_toml(toml_bytes, str(path))


def parse_toml(toml_bytes: bytes, where: str) -> dict[str, Any]:
    """Parse TOML from bytes."""
    if len(toml_bytes) > MAX_BYTES:
        raise InputError(f"more than {MAX_BYTES >> 20} MB of TOML", where=where, hint="give a recipe or settings")
    if max(map(len, toml_bytes.split(b"\n"))) > MAX_LINE:
        raise InputError(
            f"TOML with a line of more than {MAX_LINE} bytes", where=where, hint="write long lists in several lines"
        )
    try:
        return tomllib.loads(toml_bytes.decode("utf-8"))
    except RecursionError:
        raise InputError("not TOML: nested too deeply", where=where, hint="give a recipe or settings") from None
    except ValueError as error:  # of the syntax, of an encoding, of a number that is too long
        raise InputError(f"not TOML: {error}", where=where, hint="correct the line it names") from None
