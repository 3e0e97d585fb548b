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
    expected_values = renamed_values(tomllib.loads(text), renames)
    new_text = "".join(_renamed_lines(text, renames))
    try:
        has_expected_values = tomllib.loads(new_text) == expected_values
    except tomllib.TOMLDecodeError:
        has_expected_values = False
    if not has_expected_values:
        renaming_text = ", ".join(
            f"{'.'.join((*table_path, old_name))} is {new_name} now"
            for table_path, old_name, new_name in old_keys(tomllib.loads(text), renames)
        )
        raise InputError("the keys can't be renamed line by line", where=where, hint=f"rename them by hand: {renaming_text}")
    return new_text


def old_keys(values: Mapping[str, Any], renames: Renames, table_path: Path = ()) -> Iterator[tuple[Path, str, str]]:
    """Every renamed key of a file: its table, its old name and its new one."""
    new_name_by_old = renames(table_path)
    for table_key, inner_value in values.items():
        if table_key in new_name_by_old:
            yield table_path, table_key, new_name_by_old[table_key]
        for inner_table in inner_value if isinstance(inner_value, list) else [inner_value]:
            if isinstance(inner_table, dict):
                yield from old_keys(inner_table, renames, (*table_path, new_name_by_old.get(table_key, table_key)))


def renamed_values(values: Mapping[str, Any], renames: Renames, table_path: Path = ()) -> dict[str, Any]:
    """The values of a file by current keys."""
    new_name_by_old = renames(table_path)

    def rename_inside(key: str, inner_value: Any) -> Any:
        if isinstance(inner_value, list):
            return [rename_inside(key, list_item) for list_item in inner_value]
        return (
            renamed_values(inner_value, renames, (*table_path, new_name_by_old.get(key, key)))
            if isinstance(inner_value, dict)
            else inner_value
        )

    return {new_name_by_old.get(key, key): rename_inside(key, inner_value) for key, inner_value in values.items()}


def _renamed_lines(text: str, renames: Renames) -> Iterator[str]:
    table_path: Path = ()
    for line in text.splitlines(keepends=True):
        header_match = HEADER.fullmatch(line)
        if header_match:
            table_path = _renamed_path(header_match[2], renames)
            yield f"{header_match[1]}{'.'.join(map(_quoted_key, table_path))}{header_match[3]}"
        else:
            yield _renamed_line(line, table_path, renames)


def _renamed_path(header: str, renames: Renames) -> Path:
    """The path of a table from its header, `stages.select_cot.min_score`, by current keys."""
    renamed_path: Path = ()
    inner_table: dict[str, Any] = tomllib.loads(f"[{header}]")
    while inner_table:
        ((table_key, inner_table),) = inner_table.items()
        renamed_path = (*renamed_path, renames(renamed_path).get(table_key, table_key))
    return renamed_path


def _renamed_line(line: str, table_path: Path, renames: Renames) -> str:
    code, hash_sign, comment = _split_comment(line)
    first_key_match = KEY.match(code)
    if first_key_match is None:
        return line
    top_key = renames(table_path).get(first_key_match["key"], first_key_match["key"])

    def replace_key(key_match: re.Match[str]) -> str:
        new_name_by_old = renames(table_path) if key_match.start() == 0 else renames((*table_path, top_key))
        return f"{key_match['start']}{new_name_by_old.get(key_match['key'], key_match['key'])}{key_match['end']}"

    return KEY.sub(replace_key, code) + hash_sign + comment


def _split_comment(line: str) -> tuple[str, str, str]:
    """Split a line at the first # outside of strings: the code, the #, and the comment."""
    open_quote = ""
    for char_index, character in enumerate(line):
        if open_quote:
            open_quote = "" if character == open_quote else open_quote
        elif character in "\"'":
            open_quote = character
        elif character == "#":
            return line[:char_index], "#", line[char_index + 1 :]
    return line, "", ""


def _quoted_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
