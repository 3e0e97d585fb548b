"""Says in plain words what a setting takes: a number from 0 to 2, one of some names."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel
from pydantic.fields import FieldInfo

NUMBERS: Mapping[object, str] = {int: "a whole number", float: "a number", Fraction: "a number", Decimal: "a number"}
NOUNS: Mapping[object, str] = {**NUMBERS, str: "a text", bool: "true or false"}
BOUNDS = (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "up to"))


def accepted(annotation: Any) -> str | None:
    """What an annotation takes, in words; None where they would be too many."""
    alternatives = [_words(alternative, ()) for alternative in _alternatives(annotation)]
    known_alternatives = [words for words in alternatives if words is not None]
    return " or ".join(known_alternatives) if len(known_alternatives) == len(alternatives) else None


def is_choice_of_kinds(annotation: Any) -> bool:
    """Whether a value may be of one of several kinds, none of which is a table: a number or a name, say."""
    alternatives = _alternatives(annotation)
    return len(alternatives) > 1 and not any(_is_table(alternative) for alternative in alternatives)


def holds_misplaced_bool(annotation: Any, value: object) -> bool:
    """Whether true or false stands where a number is wanted: Python would take it for 1 or 0."""
    parts = set(_parts(annotation))
    if not parts & NUMBERS.keys() or parts & {bool, Any, object}:
        return False
    if any(isinstance(part, type) and issubclass(part, BaseModel) for part in parts):  # a table looks at its own values
        return isinstance(value, bool)
    return _holds_bool(value)


def lacks_bool(annotation: Any, value: object) -> bool:
    """Whether something else stands where only true or false is wanted: pydantic would take 1 and "yes" for true."""
    parts = set(_parts(annotation))
    return bool in parts and not parts & {*NUMBERS, str, Any, object} and value is not None and not isinstance(value, bool)


def _holds_bool(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_bool, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return any(map(_holds_bool, value))
    return isinstance(value, bool)


def _alternatives(annotation: Any) -> list[Any]:
    """The kinds of values that an annotation takes, but for none at all."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return [inner for argument in typing.get_args(annotation) for inner in _alternatives(argument)]
    return [] if annotation is type(None) else [annotation]


def _words(annotation: Any, marks: Sequence[Any]) -> str | None:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0], [*marks, *_flat(arguments[1:])])
    if origin is Literal:
        return ", ".join(repr(value) for value in arguments)
    bounds = [f" {word} {bound}" for name, word in BOUNDS if (bound := _bound(marks, name)) is not None]
    return f"{NOUNS[annotation]}{''.join(bounds)}" if annotation in NOUNS else None


def _bound(marks: Sequence[Any], name: str) -> object:
    return next((bound for mark in marks if (bound := getattr(mark, name, None)) is not None), None)


def _flat(marks: Sequence[Any]) -> list[Any]:
    """The marks of an annotation; those of a `Field(...)` stand inside it."""
    return [inner for mark in marks for inner in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]


def _is_table(annotation: Any) -> bool:
    return any(isinstance(part, type) and issubclass(part, BaseModel | Mapping) for part in _parts(annotation))


def _parts(annotation: Any) -> list[Any]:
    """An annotation with all that it is put together from."""
    parts = [annotation, typing.get_origin(annotation)]
    for argument in typing.get_args(annotation):
        parts += _parts(argument)
    return [part for part in parts if _is_hashable(part)]


def _is_hashable(part: Any) -> bool:
    try:
        hash(part)
    except TypeError:  # what an annotation is marked with may be anything
        return False
    return True
