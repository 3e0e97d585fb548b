"""Configuration as typed documents: every field says what it is for, unknown keys are refused, and each field is semantic
(a change makes new work) or operational (it does not).

Keys of work are digested from the first name that a setting ever had, and a setting that came later is left out at its default:
so renaming a setting or adding one makes no work anew.
"""

from __future__ import annotations

import difflib
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from dmforge.schemas.accepted_values import accepted, holds_misplaced_bool, is_choice_of_kinds, lacks_bool
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
BOOL_FAULT = "bool_fault"
"""The kind of the fault where true or false stands for a number, or something else for true or false."""


class Config(BaseModel):
    """The base of all configuration. Fields are semantic unless typed `Operational[...]`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False,
        defer_build=True,  # its validator is built when it is used first: a command uses few of all that it imports
    )  # fmt: skip
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Keys that people know from other tools, each with the setting that does it here."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_wrong_bools(cls, values: object) -> object:
        for name, value in values.items() if isinstance(values, Mapping) else ():
            field_info = cls.model_fields.get(name)
            if field_info is None:
                continue
            for is_wrong, expected_value in ((holds_misplaced_bool, "a number"), (lacks_bool, "true or false")):
                if is_wrong(field_info.annotation, value):
                    context = {"name": name, "value": value, "wanted": expected_value}
                    raise PydanticCustomError(BOOL_FAULT, "{wanted} is wanted", context)
        return values

    def semantic(self) -> dict[str, Any]:
        """The settings that decide what comes out: they are digested into every work key."""
        semantic_values: dict[str, Any] = {}
        for setting_name, field_info in type(self).model_fields.items():
            setting_value = getattr(self, setting_name)
            if is_operational(field_info) or _is_left_out(field_info, setting_value):
                continue
            dumped_value = self.model_dump(mode="json", include={setting_name})[setting_name]
            semantic_values[first_name(setting_name, field_info)] = (
                setting_value.semantic()
                if isinstance(setting_value, Config)
                else _with_first_names(setting_value, dumped_value)
            )
        return semantic_values

    @classmethod
    def from_semantic(cls, values: Mapping[str, Any], *, where: str) -> Self:
        """The inverse of `semantic`, of values that were kept in a file."""
        name_by_first_name = {
            first_name(current_name, field_info): current_name for current_name, field_info in cls.model_fields.items()
        }
        return parse_config(
            cls, {name_by_first_name.get(old_name, old_name): value for old_name, value in values.items()}, where=where
        )


def is_operational(field: FieldInfo) -> bool:
    """Whether a field says only how work is done."""
    return any(isinstance(metadata_item, _OperationalMark) for metadata_item in field.metadata)


def first_name(name: str, field: FieldInfo) -> str:
    """The first name that a field ever had."""
    return next((metadata_item.name for metadata_item in field.metadata if isinstance(metadata_item, Formerly)), name)


def renamed_keys(config_class: type[BaseModel]) -> dict[str, str]:
    """The first names of a config's renamed keys, with their current names."""
    name_by_first_name = {
        first_name(current_name, field): current_name for current_name, field in config_class.model_fields.items()
    }
    return {old_name: current_name for old_name, current_name in name_by_first_name.items() if old_name != current_name}


def tables_at(config_class: type[BaseModel], key_path: Sequence[str]) -> tuple[type[BaseModel], ...]:
    """The configs that may stand at a path: several where a field takes one of several kinds, as `[engine]` does."""
    config_classes: tuple[type[BaseModel], ...] = (config_class,)
    for table_key in key_path:
        if table_key.isdigit():  # an item of a list
            continue
        classes_of_kind = tuple(candidate_class for candidate_class in config_classes if table_key in _kinds(candidate_class))
        config_classes = classes_of_kind or tuple(
            inner_class for candidate_class in config_classes for inner_class in _inner_configs(candidate_class, table_key)
        )
    return config_classes


def _inner_configs(config_class: type[BaseModel], setting_name: str) -> Sequence[type[Config]]:
    """The configs that a field holds: alone, as `X | None`, as one of several, as items of a tuple or values of a dict."""
    if setting_name not in config_class.model_fields:
        return ()
    annotation = config_class.model_fields[setting_name].annotation
    candidate_types = [annotation, *_arguments(annotation)]
    return [
        candidate_type
        for candidate_type in candidate_types
        if isinstance(candidate_type, type) and issubclass(candidate_type, Config)
    ]


def _kinds(config_class: type[BaseModel]) -> tuple[Any, ...]:
    """The values of `kind` by which a config is told from others that may stand in its place."""
    return typing.get_args(config_class.model_fields["kind"].annotation) if "kind" in config_class.model_fields else ()


def _arguments(annotation: Any) -> list[Any]:
    type_arguments = typing.get_args(annotation)
    return [*type_arguments, *(inner_type for type_argument in type_arguments for inner_type in _arguments(type_argument))]


def _is_left_out(field: FieldInfo, setting_value: object) -> bool:
    is_later = any(isinstance(metadata_item, _LaterMark) for metadata_item in field.metadata)
    return is_later and setting_value == field.get_default(call_default_factory=True, validated_data={})


def _with_first_names(value: object, dumped: Any) -> Any:
    """A dumped value in which configs inside lists and tables have the first names of their fields."""
    if isinstance(value, Config):
        kept_fields = {
            field_name: field_info
            for field_name, field_info in type(value).model_fields.items()
            if not _is_left_out(field_info, getattr(value, field_name))
        }
        return {
            first_name(field_name, field_info): _with_first_names(getattr(value, field_name), dumped[field_name])
            for field_name, field_info in kept_fields.items()
        }
    if isinstance(value, Mapping):
        return {
            key: _with_first_names(inner_value, dumped[key]) for key, inner_value in value.items() if key in dumped
        } or dumped
    if isinstance(value, Sequence) and isinstance(dumped, list):
        return [_with_first_names(inner_value, dumped_part) for inner_value, dumped_part in zip(value, dumped, strict=True)]
    return dumped


def parse_config(config_class: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """Values from a file as a checked config, or one error that names every wrong field and how to mend it."""
    try:
        return config_class.model_validate(dict(values))
    except InputError as error:  # a validator's own: it knows the key, and not the file
        refused_table = _refused_table(config_class, values)
        error.where = f"{where}: [{refused_table}] {error.where}" if refused_table else f"{where} {error.where}"
        raise
    except ValidationError as error:
        faults = error.errors(include_url=False)
        described_faults = [*dict.fromkeys(_describe_fault(config_class, values, fault) for fault in faults)]
        raise InputError(
            "; ".join(message for message, _ in described_faults),
            where=where,
            hint="; ".join(hint for _, hint in described_faults),
        ) from None


def _refused_table(config_class: type[BaseModel], values: Mapping[str, Any]) -> str:
    """The first table of a file that holds what a validator refuses with an error of its own; empty where none does."""
    for table_name, table_values in values.items():
        for table_class in _inner_configs(config_class, table_name) if isinstance(table_values, Mapping) else ():
            try:
                table_class.model_validate(dict(table_values))
            except InputError:
                return table_name
            except ValidationError:
                continue
    return ""


def _described_choice(config_class: type[BaseModel], fault: Any) -> tuple[str, str] | None:
    """A fault of a value that may be of one of several kinds: what it may be, once, and not what is wrong for each kind."""
    loc_keys = [str(loc_step) for loc_step in fault["loc"]]
    for key_count, loc_key in enumerate(loc_keys, 1):
        for class_at_path in tables_at(config_class, loc_keys[: key_count - 1]):
            field = class_at_path.model_fields.get(loc_key)
            if field is not None and key_count < len(loc_keys) and is_choice_of_kinds(field.annotation):
                dotted_key, accepted_text = ".".join(loc_keys[:key_count]), accepted(field.annotation)
                return (
                    (f"{dotted_key} = {fault['input']!r} is not accepted", f"give {accepted_text}") if accepted_text else None
                )
    return None


def nearest(word: str, choices: list[str]) -> str:
    """The hint for an unknown word: the known one that was probably meant, or all that there are."""
    close_matches = difflib.get_close_matches(word, choices, n=1)
    return f"did you mean {close_matches[0]!r}?" if close_matches else f"known here: {', '.join(sorted(choices)) or 'none'}"


def _describe_fault(config_class: type[BaseModel], values: Mapping[str, Any], fault: Any) -> tuple[str, str]:
    loc_keys = [str(loc_step) for loc_step in fault["loc"]]
    dotted_key = ".".join(loc_keys)
    if (described_choice := _described_choice(config_class, fault)) is not None:
        return described_choice
    if fault["type"] == "extra_forbidden":
        config_classes = tables_at(config_class, loc_keys[:-1])
        new_name_by_old = {
            old_name: new_name for class_at_path in config_classes for old_name, new_name in renamed_keys(class_at_path).items()
        }
        if loc_keys[-1] in new_name_by_old:
            new_name = new_name_by_old[loc_keys[-1]]
            return (
                f"{loc_keys[-1]!r} is {new_name!r} now",
                f"write {'.'.join([*loc_keys[:-1], new_name])}; `dmforge upgrade` does it for you",
            )
        hint_by_key = {
            moved_key: hint
            for class_at_path in config_classes
            if issubclass(class_at_path, Config)
            for moved_key, hint in class_at_path.elsewhere.items()
        }
        known_names = [setting_name for class_at_path in config_classes for setting_name in class_at_path.model_fields]
        return f"unknown key {dotted_key!r}", hint_by_key.get(loc_keys[-1]) or nearest(loc_keys[-1], known_names)
    if fault["type"] == BOOL_FAULT:
        context = fault["ctx"]
        bool_key = ".".join([*loc_keys, context["name"]])
        value_text = json.dumps(context["value"], default=str)
        return f"{bool_key} = {value_text}: {context['wanted']} is wanted", f"correct {bool_key!r}"
    if fault["type"] == "missing":
        return f"key {dotted_key!r} is missing", f"add {dotted_key} = ..."
    if fault["type"] == "value_error":  # a rule over several keys: its words say which
        message = fault["msg"].removeprefix("Value error, ")
        return (f"{dotted_key}: {message}" if dotted_key else message), "correct one of them"
    message = fault["msg"].lower().replace("a valid tuple", 'a list: ["a", "b"]')  # as it is written in a file
    return f"{dotted_key} = {fault['input']!r}: {message}", f"correct {dotted_key!r}"
