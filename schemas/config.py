"""Configuration as typed documents: every field says what it is for, unknown keys are refused, and each field is semantic
(a change makes new work) or operational (it does not)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from dmforge.schemas.errors import InputError


class _OperationalMark:
    """Marks a field that changes how work is done, never what comes out of it."""


T = TypeVar("T")
Operational = Annotated[T, _OperationalMark()]
C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """The base of all configuration. Fields are semantic unless typed `Operational[...]`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Keys that people know from other tools, and what does it here."""

    def semantic(self) -> dict[str, Any]:
        """The part that decides what comes out: it is digested into every work key."""
        values: dict[str, Any] = {}
        for name, info in type(self).model_fields.items():
            if is_operational(info):
                continue
            value = getattr(self, name)
            values[name] = value.semantic() if isinstance(value, Config) else self.model_dump(mode="json", include={name})[name]
        return values


def is_operational(field: FieldInfo) -> bool:
    """Whether a field says only how work is done."""
    return any(isinstance(mark, _OperationalMark) for mark in field.metadata)


def parse_config(kind: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """Values from a file as a checked config, or one error that names every wrong field and how to mend it."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        faults = [_fault(kind, values, fault) for fault in error.errors(include_url=False)]
        raise InputError(
            "; ".join(what for what, _ in faults), where=where, mend="; ".join(mend for _, mend in faults)
        ) from None


def nearest(word: str, known: list[str]) -> str:
    """The mend for a word that isn't known: the one that was probably meant, or all there are."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known)) or 'none'}"


def _fault(kind: type[BaseModel], values: Mapping[str, Any], fault: Any) -> tuple[str, str]:
    path = [str(step) for step in fault["loc"]]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        table = _table_at(kind, path[:-1])
        known = list(table.model_fields) if table else []
        elsewhere = table.elsewhere if table and issubclass(table, Config) else {}
        return f"unknown key {key!r}", elsewhere.get(path[-1]) or nearest(path[-1], known)
    if fault["type"] == "missing":
        return f"key {key!r} is missing", f"add {key} = ..."
    if fault["type"] == "value_error":  # a rule over several keys: its words say which
        said = fault["msg"].removeprefix("Value error, ")
        return (f"{key}: {said}" if key else said), "correct one of them"
    return f"{key} = {fault['input']!r}: {fault['msg'].lower()}", f"correct {key!r}"


def _table_at(kind: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    for step in path:
        inner = kind.model_fields[step].annotation if step in kind.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        kind = inner
    return kind
