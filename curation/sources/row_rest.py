"""What a row says beyond its question, kept beside the question: an import loses nothing that has room."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.schemas.text_limits import MAX_EXTRAS_CHARS

Q = TypeVar("Q", Question, Question | RefusedQuestion)
ROW = "row"
"""The key in a question's extras under which the other fields of its row stand."""
TURNS = "turns"
"""The key under which the turns of a trajectory stand that is no trajectory of ours."""
REST_LEFT_OUT = "part of the row left out: no JSON or too long"
"""Flag of a question whose row said more than there is room for: the question itself is whole."""
RESERVE = 200
"""Characters that stay free for the keys of extras, and for a density."""


def with_rest(question: Q, record: Mapping[str, Any], held_fields: Collection[str]) -> Q:
    """The question with those fields of its row that it doesn't hold itself; empty ones say nothing."""
    rest = {name: value for name, value in record.items() if name not in held_fields and value not in (None, "", [], {})}
    return with_extras(question, ROW, rest)


def with_extras(question: Q, key: str, values: Mapping[str, Any] | list[Any]) -> Q:
    """The question with more in its extras, as far as that fits; what doesn't is left out and flagged."""
    if isinstance(question, RefusedQuestion) or not values:
        return question
    free_chars = MAX_EXTRAS_CHARS - RESERVE - len(json.dumps(question.extras))
    if isinstance(values, Mapping):
        kept_values: Any = {}
        for name, value in values.items():
            length = _json_length({name: value})
            if length <= free_chars:
                kept_values[name] = value
                free_chars -= length
    else:
        kept_values = values if _json_length(values) <= free_chars else []
    is_whole = len(kept_values) == len(values)
    flags = question.flags if is_whole or REST_LEFT_OUT in question.flags else (*question.flags, REST_LEFT_OUT)
    extras = {**question.extras, key: kept_values} if kept_values else question.extras
    return replace(question, extras=extras, flags=flags)


def _json_length(value: object) -> int:
    """How long a value is as JSON; beyond any room where it is none, as pictures in Parquet are."""
    try:
        return len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return MAX_EXTRAS_CHARS
