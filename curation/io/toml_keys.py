"""Renames keys in the text of a TOML file; all else in it, comments too, stays as it was written."""

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
    """The text with current keys; an error where its lines can't be changed one by one."""
    expected = renamed_values(tomllib.loads(text), renames)
    new_text = "".join(_renamed_lines(text, renames))
    try:
        is_right = tomllib.loads(new_text) == expected
    except tomllib.TOMLDecodeError:
        is_right = False
    if not is_right:
        pairs = ", ".join(f"{'.'.join((*path, old))} is {new} now" for path, old, new in old_keys(tomllib.loads(text), renames))
        raise InputError("the keys can't be renamed line by line", where=where, hint=f"rename them by hand: {pairs}")
    return new_text


def old_keys(values: Mapping[str, Any], renames: Renames, path: Path = ()) -> Iterator[tuple[Path, str, str]]:
    """Every renamed key of a file: its table, its old name and its new one."""
    names = renames(path)
    for key, value in values.items():
        if key in names:
            yield path, key, names[key]
        for table in value if isinstance(value, list) else [value]:
            if isinstance(table, dict):
                yield from old_keys(table, renames, (*path, names.get(key, key)))


def renamed_values(values: Mapping[str, Any], renames: Renames, path: Path = ()) -> dict[str, Any]:
    """The values of a file by current keys."""
    names = renames(path)

    def rename_inside(key: str, value: Any) -> Any:
        if isinstance(value, list):
            return [rename_inside(key, item) for item in value]
        return renamed_values(value, renames, (*path, names.get(key, key))) if isinstance(value, dict) else value

    return {names.get(key, key): rename_inside(key, value) for key, value in values.items()}


def _renamed_lines(text: str, renames: Renames) -> Iterator[str]:
    table: Path = ()
    for line in text.splitlines(keepends=True):
        header = HEADER.fullmatch(line)
        if header:
            table = _renamed_path(header[2], renames)
            yield f"{header[1]}{'.'.join(map(_quoted_key, table))}{header[3]}"
        else:
            yield _renamed_line(line, table, renames)


def _renamed_path(header: str, renames: Renames) -> Path:
    """The path of a table from its header, `stages.select_cot.min_score`, by current keys."""
    path: Path = ()
    table: dict[str, Any] = tomllib.loads(f"[{header}]")
    while table:
        ((key, table),) = table.items()
        path = (*path, renames(path).get(key, key))
    return path


def _renamed_line(line: str, table: Path, renames: Renames) -> str:
    code, hash_sign, comment = _split_comment(line)
    first_key = KEY.match(code)
    if first_key is None:
        return line
    top_key = renames(table).get(first_key["key"], first_key["key"])

    def replace_key(match: re.Match[str]) -> str:
        names = renames(table) if match.start() == 0 else renames((*table, top_key))
        return f"{match['start']}{names.get(match['key'], match['key'])}{match['end']}"

    return KEY.sub(replace_key, code) + hash_sign + comment


def _split_comment(line: str) -> tuple[str, str, str]:
    """Split a line at the first # outside of strings: the code, the #, and the comment."""
    quote = ""
    for index, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "#":
            return line[:index], "#", line[index + 1 :]
    return line, "", ""


def _quoted_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
