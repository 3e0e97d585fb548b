"""JSON objects that say by themselves whether they are as they were written. One without a seal is older, or a person's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SEAL = "seal"


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its seal, the sha256 of all else in it."""
    return {**values, SEAL: _seal_of(values)}


def unsealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """An object without its seal; ValueError where that doesn't fit."""
    content = {name: value for name, value in values.items() if name != SEAL}
    if SEAL in values and values[SEAL] != _seal_of(content):
        raise ValueError(f"it was changed after it was written; if a person did, {SEAL!r} must be deleted with it")
    return content


def _seal_of(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
