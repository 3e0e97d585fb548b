"""Renamed keys of a TOML file are written by their new names; all else in it, comments too, stays as a person wrote it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dmforge.schemas.errors import InputError

Path = tuple[str, ...]
Renames = Callable[[Path], Mapping[str, str]]
"""The old and new names of the keys of the table at a path."""
HEADER = re.compile(r"(\s*\[\[?)([^\]]+)(\]\]?.*)", re.DOTALL)
KEY = re.compile(r"""(?P<start>(?:^|[{,])\s*)(?P<key>[A-Za-z0-9_-]+)(?P<end>\s*=)""")


def renamed_text(text: str, renames: Renames, where: str) -> str:
    """The text with today's keys; an error where its lines can't be changed one by one."""
    wanted = renamed_values(tomllib.loads(text), renames)
    changed = "".join(_lines(text, renames))
    try:
        is_right = tomllib.loads(changed) == wanted
    except tomllib.TOMLDecodeError:
        is_right = False
    if not is_right:
        pairs = ", ".join(f"{'.'.join((*path, old))} is {new} now" for path, old, new in old_keys(tomllib.loads(text), renames))
        raise InputError("the keys can't be renamed line by line", where=where, mend=f"rename them by hand: {pairs}")
    return changed


def old_keys(values: Mapping[str, Any], renames: Renames, path: Path = ()) -> Iterator[tuple[Path, str, str]]:
    """Every key of a file that has another name today: its table, its old name and its new one."""
    names = renames(path)
    for key, value in values.items():
        if key in names:
            yield path, key, names[key]
        for table in value if isinstance(value, list) else [value]:
            if isinstance(table, dict):
                yield from old_keys(table, renames, (*path, names.get(key, key)))


def renamed_values(values: Mapping[str, Any], renames: Renames, path: Path = ()) -> dict[str, Any]:
    """The values of a file by today's keys."""
    names = renames(path)

    def inside(key: str, value: Any) -> Any:
        if isinstance(value, list):
            return [inside(key, item) for item in value]
        return renamed_values(value, renames, (*path, names.get(key, key))) if isinstance(value, dict) else value

    return {names.get(key, key): inside(key, value) for key, value in values.items()}


def _lines(text: str, renames: Renames) -> Iterator[str]:
    table: Path = ()
    for line in text.splitlines(keepends=True):
        header = HEADER.fullmatch(line)
        if header:
            table = _renamed_path(header[2], renames)
            yield f"{header[1]}{'.'.join(map(_quoted, table))}{header[3]}"
        else:
            yield _renamed_line(line, table, renames)


def _renamed_path(written: str, renames: Renames) -> Path:
    """`stages.select_cot.least`, as the header of a table has it, by today's keys."""
    path: Path = ()
    table: dict[str, Any] = tomllib.loads(f"[{written}]")
    while table:
        ((key, table),) = table.items()
        path = (*path, renames(path).get(key, key))
    return path


def _renamed_line(line: str, table: Path, renames: Renames) -> str:
    code, hash_sign, comment = _without_comment(line)
    first = KEY.match(code)
    if first is None:
        return line
    top = renames(table).get(first["key"], first["key"])

    def renamed(match: re.Match[str]) -> str:
        names = renames(table) if match.start() == 0 else renames((*table, top))
        return f"{match['start']}{names.get(match['key'], match['key'])}{match['end']}"

    return KEY.sub(renamed, code) + hash_sign + comment


def _without_comment(line: str) -> tuple[str, str, str]:
    """A line up to the first # that stands in no text, the #, and the rest."""
    quote = ""
    for at, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#":
            return line[:at], "#", line[at + 1 :]
    return line, "", ""


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
