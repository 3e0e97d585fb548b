"""Configuration as typed documents: every field says what it is for, unknown keys are refused, and each field is semantic
(a change makes new work) or operational (it does not).

Keys of work are digested from the first name that a setting ever had, and a setting that came later is left out at its default:
so renaming a setting or adding one makes no work anew.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from dmforge.schemas.errors import InputError


class _OperationalMark:
    """Marks a field that changes how work is done, never what comes out of it."""


class _LaterMark:
    """Marks a field that came after the first release."""


@dataclass(frozen=True, slots=True)
class Formerly:
    """Marks a field that was renamed: `Annotated[int, Formerly("max_tokens")]`. The name is the first that it ever had."""

    name: str


T = TypeVar("T")
Operational = Annotated[T, _OperationalMark()]
Later = Annotated[T, _LaterMark()]
C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """The base of all configuration. Fields are semantic unless typed `Operational[...]`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Keys that people know from other tools, each with the setting that does it here."""

    def semantic(self) -> dict[str, Any]:
        """The settings that decide what comes out: they are digested into every work key."""
        values: dict[str, Any] = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if is_operational(info) or _is_left_out(info, value):
                continue
            dumped = self.model_dump(mode="json", include={name})[name]
            values[first_name(name, info)] = value.semantic() if isinstance(value, Config) else _with_first_names(value, dumped)
        return values

    @classmethod
    def from_semantic(cls, values: Mapping[str, Any], *, where: str) -> Self:
        """The inverse of `semantic`, of values that were kept in a file."""
        names = {first_name(name, info): name for name, info in cls.model_fields.items()}
        return parse_config(cls, {names.get(old_name, old_name): value for old_name, value in values.items()}, where=where)


def is_operational(field: FieldInfo) -> bool:
    """Whether a field says only how work is done."""
    return any(isinstance(mark, _OperationalMark) for mark in field.metadata)


def first_name(name: str, field: FieldInfo) -> str:
    """The first name that a field ever had."""
    return next((mark.name for mark in field.metadata if isinstance(mark, Formerly)), name)


def renamed_keys(config_class: type[BaseModel]) -> dict[str, str]:
    """The first names of a config's renamed keys, with their current names."""
    names = {first_name(name, field): name for name, field in config_class.model_fields.items()}
    return {old_name: name for old_name, name in names.items() if old_name != name}


def tables_at(config_class: type[BaseModel], path: Sequence[str]) -> tuple[type[BaseModel], ...]:
    """The configs that may stand at a path: several where a field takes one of several kinds, as `[engine]` does."""
    classes: tuple[type[BaseModel], ...] = (config_class,)
    for step in path:
        if step.isdigit():  # an item of a list
            continue
        of_kind = tuple(candidate for candidate in classes if step in _kinds(candidate))
        classes = of_kind or tuple(inner for candidate in classes for inner in _inner_configs(candidate, step))
    return classes


def _inner_configs(config_class: type[BaseModel], name: str) -> Sequence[type[Config]]:
    """The configs that a field holds: alone, as `X | None`, as one of several, as items of a tuple or values of a dict."""
    if name not in config_class.model_fields:
        return ()
    annotation = config_class.model_fields[name].annotation
    candidates = [annotation, *_arguments(annotation)]
    return [candidate for candidate in candidates if isinstance(candidate, type) and issubclass(candidate, Config)]


def _kinds(config_class: type[BaseModel]) -> tuple[Any, ...]:
    """The values of `kind` by which a config is told from others that may stand in its place."""
    return typing.get_args(config_class.model_fields["kind"].annotation) if "kind" in config_class.model_fields else ()


def _arguments(annotation: Any) -> list[Any]:
    arguments = typing.get_args(annotation)
    return [*arguments, *(inner for argument in arguments for inner in _arguments(argument))]


def _is_left_out(field: FieldInfo, value: object) -> bool:
    is_later = any(isinstance(mark, _LaterMark) for mark in field.metadata)
    return is_later and value == field.get_default(call_default_factory=True, validated_data={})


def _with_first_names(value: object, dumped: Any) -> Any:
    """A dumped value in which configs inside lists and tables have the first names of their fields."""
    if isinstance(value, Config):
        fields = {name: info for name, info in type(value).model_fields.items() if not _is_left_out(info, getattr(value, name))}
        return {first_name(name, info): _with_first_names(getattr(value, name), dumped[name]) for name, info in fields.items()}
    if isinstance(value, Mapping):
        return {key: _with_first_names(item, dumped[key]) for key, item in value.items() if key in dumped} or dumped
    if isinstance(value, Sequence) and isinstance(dumped, list):
        return [_with_first_names(item, part) for item, part in zip(value, dumped, strict=True)]
    return dumped


def parse_config(config_class: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """Values from a file as a checked config, or one error that names every wrong field and how to mend it."""
    try:
        return config_class.model_validate(dict(values))
    except InputError as error:  # a validator's own: it knows the key, and not the file
        error.where = f"{where} {error.where}"
        raise
    except ValidationError as error:
        faults = [_describe_fault(config_class, values, fault) for fault in error.errors(include_url=False)]
        raise InputError(
            "; ".join(message for message, _ in faults), where=where, hint="; ".join(hint for _, hint in faults)
        ) from None


def nearest(word: str, choices: list[str]) -> str:
    """The hint for an unknown word: the known one that was probably meant, or all that there are."""
    close = difflib.get_close_matches(word, choices, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(choices)) or 'none'}"


def _describe_fault(config_class: type[BaseModel], values: Mapping[str, Any], fault: Any) -> tuple[str, str]:
    keys = [str(step) for step in fault["loc"]]
    key = ".".join(keys)
    if fault["type"] == "extra_forbidden":
        tables = tables_at(config_class, keys[:-1])
        renamed = {old: new for table in tables for old, new in renamed_keys(table).items()}
        if keys[-1] in renamed:
            new_name = renamed[keys[-1]]
            return (
                f"{keys[-1]!r} is {new_name!r} now",
                f"write {'.'.join([*keys[:-1], new_name])}; `dmforge upgrade` does it for you",
            )
        elsewhere = {key: hint for table in tables if issubclass(table, Config) for key, hint in table.elsewhere.items()}
        known = [name for table in tables for name in table.model_fields]
        return f"unknown key {key!r}", elsewhere.get(keys[-1]) or nearest(keys[-1], known)
    if fault["type"] == "missing":
        return f"key {key!r} is missing", f"add {key} = ..."
    if fault["type"] == "value_error":  # a rule over several keys: its words say which
        message = fault["msg"].removeprefix("Value error, ")
        return (f"{key}: {message}" if key else message), "correct one of them"
    return f"{key} = {fault['input']!r}: {fault['msg'].lower()}", f"correct {key!r}"
