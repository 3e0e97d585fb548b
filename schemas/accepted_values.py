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
    alternative_texts = [_words(alternative, ()) for alternative in _alternatives(annotation)]
    known_alternatives = [alternative_text for alternative_text in alternative_texts if alternative_text is not None]
    return " or ".join(known_alternatives) if len(known_alternatives) == len(alternative_texts) else None


def is_choice_of_kinds(annotation: Any) -> bool:
    """Whether a value may be of one of several kinds, none of which is a table: a number or a name, say."""
    alternatives = _alternatives(annotation)
    return len(alternatives) > 1 and not any(_is_table(alternative) for alternative in alternatives)


def holds_misplaced_bool(annotation: Any, value: object) -> bool:
    """Whether true or false stands where a number is wanted: Python would take it for 1 or 0."""
    annotation_parts = set(_parts(annotation))
    if not annotation_parts & NUMBERS.keys() or annotation_parts & {bool, Any, object}:
        return False
    if any(
        isinstance(annotation_part, type) and issubclass(annotation_part, BaseModel) for annotation_part in annotation_parts
    ):  # a table looks at its own values
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
        return [
            inner_alternative
            for type_argument in typing.get_args(annotation)
            for inner_alternative in _alternatives(type_argument)
        ]
    return [] if annotation is type(None) else [annotation]


def _words(annotation: Any, metadata: Sequence[Any]) -> str | None:
    origin, type_arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _words(type_arguments[0], [*metadata, *_flat(type_arguments[1:])])
    if origin is Literal:
        return ", ".join(repr(literal_value) for literal_value in type_arguments)
    bound_texts = [
        f" {bound_word} {bound_value}"
        for bound_name, bound_word in BOUNDS
        if (bound_value := _bound(metadata, bound_name)) is not None
    ]
    return f"{NOUNS[annotation]}{''.join(bound_texts)}" if annotation in NOUNS else None


def _bound(metadata: Sequence[Any], bound_name: str) -> object:
    return next(
        (bound_value for metadata_item in metadata if (bound_value := getattr(metadata_item, bound_name, None)) is not None),
        None,
    )


def _flat(metadata: Sequence[Any]) -> list[Any]:
    """The marks of an annotation; those of a `Field(...)` stand inside it."""
    return [
        inner_item
        for metadata_item in metadata
        for inner_item in (metadata_item.metadata if isinstance(metadata_item, FieldInfo) else [metadata_item])
    ]


def _is_table(annotation: Any) -> bool:
    return any(
        isinstance(annotation_part, type) and issubclass(annotation_part, BaseModel | Mapping)
        for annotation_part in _parts(annotation)
    )


def _parts(annotation: Any) -> list[Any]:
    """An annotation with all that it is put together from."""
    annotation_parts = [annotation, typing.get_origin(annotation)]
    for type_argument in typing.get_args(annotation):
        annotation_parts += _parts(type_argument)
    return [annotation_part for annotation_part in annotation_parts if _is_hashable(annotation_part)]


def _is_hashable(annotation_part: Any) -> bool:
    try:
        hash(annotation_part)
    except TypeError:  # what an annotation is marked with may be anything
        return False
    return True
