"""The JSON schema of a reply, as narrow as what is accepted: densities that are offered, windows within what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dmforge.schemas.looks import OFFERED_FPS, Window
from dmforge.schemas.replies import Reply


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a reply to one question can hold."""

    window: Window | None = None
    """Every time lies within it."""
    max_questions: int | None = None
    """The most questions that are written."""


UNBOUNDED = Bounds()
"""Of a question about which nothing is known: its schema has the limits that every question has."""


def reply_schema(reply: type[Reply], bounds: Bounds | None = None) -> dict[str, Any]:
    """The plain schema of a reply; with bounds, of the replies that can be accepted."""
    schema = reply.json_schema()
    return schema if bounds is None else _narrowed(schema, _limits(bounds))


def _limits(bounds: Bounds) -> dict[str, dict[str, Any]]:
    """What is added to the schema of a field, by its name: it means the same in every reply."""
    limits_by_field: dict[str, dict[str, Any]] = {"fps": {"enum": list(OFFERED_FPS)}, "safety": {"minimum": 0, "maximum": 1}}
    limits_by_field["looks"] = {"maxItems": 1}
    if bounds.window is not None:
        window_limits = {"minimum": bounds.window.start_cs / 100, "maximum": bounds.window.end_cs / 100}
        limits_by_field |= {"start_s": window_limits, "end_s": window_limits}
    if bounds.max_questions is not None:
        limits_by_field["questions"] = {"maxItems": bounds.max_questions}
    return limits_by_field


def _narrowed(schema: Any, limits_by_field: dict[str, dict[str, Any]]) -> Any:
    if isinstance(schema, list):
        return [_narrowed(inner_schema, limits_by_field) for inner_schema in schema]
    if not isinstance(schema, dict):
        return schema
    narrowed = {schema_key: _narrowed(inner_schema, limits_by_field) for schema_key, inner_schema in schema.items()}
    if isinstance(properties := narrowed.get("properties"), dict):
        narrowed["properties"] = {
            schema_key: inner_schema | limits_by_field.get(schema_key, {}) for schema_key, inner_schema in properties.items()
        }
    return narrowed
