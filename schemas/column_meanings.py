"""What each column of a record is: its type, its unit, since which format, and what it means, which stands under its field.

Docstrings under fields are no part of a class, so they are read from its source; a class without a source has none.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal

from dmforge.schemas.columns import GROWN, SINCE
from dmforge.schemas.later_members import is_later_member
from dmforge.schemas.units import unit_of

PLAIN_TYPES: Mapping[Any, str] = types.MappingProxyType(
    {str: "text", int: "whole number", float: "number", bool: "true or false", bytes: "id", Fraction: "fraction"}
)


@dataclass(frozen=True, slots=True)
class ColumnMeaning:
    """A column of a table, or a member of a struct in one."""

    name: str
    """Of a member with the columns that it is in: `look.window.start_cs`."""
    type: str
    unit: str
    since: int
    """The number of the table's format that introduced it."""
    meaning: str
    members_since: int = 0
    """The number of the format in which its struct got the latest of its members; 0 where it got none."""


def columns_of(record: type) -> list[ColumnMeaning]:
    """The columns of a record class, in the order of declaration, without the members of structs."""
    type_hints, with_units = typing.get_type_hints(record), typing.get_type_hints(record, include_extras=True)
    meanings = field_meanings(record)
    return [
        ColumnMeaning(
            field.name,
            type_text(type_hints[field.name]),
            unit_of(field.name, _number_in(with_units[field.name])) if is_number(type_hints[field.name]) else "",
            field.metadata.get(SINCE, 1),
            meanings.get(field.name, ""),
            field.metadata.get(GROWN, 0),
        )
        for field in dataclasses.fields(record)
    ]


def columns_with_members(record: type) -> Iterator[ColumnMeaning]:
    """The same, each with the members of its structs behind it."""
    type_hints = typing.get_type_hints(record)
    for column in columns_of(record):
        yield column
        yield from _members(type_hints[column.name], column.name, column.since, column.members_since or column.since)


def _members(annotation: Any, place: str, since: int, grown_since: int) -> Iterator[ColumnMeaning]:
    struct = struct_of(annotation)
    if struct is None:
        return
    type_hints, later = typing.get_type_hints(struct), {f.name for f in dataclasses.fields(struct) if is_later_member(f)}
    for member in columns_of(struct):
        member_place, member_since = f"{place}.{member.name}", grown_since if member.name in later else since
        yield dataclasses.replace(member, name=member_place, since=member_since)
        yield from _members(type_hints[member.name], member_place, member_since, grown_since)


def struct_of(annotation: Any) -> type | None:
    """The dataclass in a column, in a list of them or not; None where its values are plain."""
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return annotation
    inner_structs = (struct_of(argument) for argument in typing.get_args(annotation))
    return next((struct for struct in inner_structs if struct is not None), None)


def structs_of(record: type) -> Iterator[type]:
    """The dataclasses in a record's columns, with those inside them."""
    for annotation in typing.get_type_hints(record).values():
        if (struct := struct_of(annotation)) is not None:
            yield struct
            yield from structs_of(struct)


@cache
def field_meanings(record: type) -> Mapping[str, str]:
    """What stands under the fields of a dataclass and of those that it is derived from."""
    meanings: dict[str, str] = {}
    for base in reversed(record.__mro__):
        if dataclasses.is_dataclass(base):
            meanings |= _docstrings_under_fields(base)
    return meanings


def type_text(annotation: Any) -> str:
    """A type in the words of someone who reads tables."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        inner_types = " or ".join(type_text(argument) for argument in arguments if argument is not types.NoneType)
        return f"{inner_types}, or none"
    if origin is dict:
        return "object"
    if origin in (tuple, list):
        return f"list of {type_text(arguments[0])}"
    return PLAIN_TYPES.get(annotation) or annotation.__name__


def is_number(annotation: Any) -> bool:
    """Whether a column holds numbers, or lists of them."""
    if typing.get_origin(annotation) is Literal:
        return False
    return annotation in (int, float, Fraction) or any(map(is_number, typing.get_args(annotation)))


def _number_in(annotation: Any) -> Any:
    """The number in a column that may be none, or a list; as it is annotated."""
    if hasattr(annotation, "__metadata__"):
        return annotation
    inner_numbers = (_number_in(argument) for argument in typing.get_args(annotation) if is_number(argument))
    return next(inner_numbers, annotation)


def _docstrings_under_fields(record: type) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(record))
    except (OSError, TypeError):
        return {}
    (class_definition,) = ast.parse(source).body
    assert isinstance(class_definition, ast.ClassDef)
    statements = class_definition.body
    return {
        field.target.id: " ".join(inspect.cleandoc(below.value.value).split())
        for field, below in itertools.pairwise(statements)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
