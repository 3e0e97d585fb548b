"""Ids are digests of content: the same thing has the same name on every machine, so work is never done twice by accident."""

from __future__ import annotations

import base64
import hashlib
import json
from fractions import Fraction
from typing import Any

from dmforge.schemas.errors import InputError

Id = bytes
"""16 bytes. Raw in memory and on disk; printed for people as `<kind>_<26 base32 letters>`."""

ID_BYTES = 16


def digest(kind: str, content: object) -> Id:
    """The id of some content: nested str, int, float, bool, None, bytes, Fraction, list, tuple and str-keyed dict.

    `kind` is hashed too, so that a task and a candidate with equal content never share an id.
    """
    return hashlib.sha256(_CANONICAL.encode([kind, content]).encode("ascii")).digest()[:ID_BYTES]


def _plain(value: object) -> Any:
    # tagged, so that b"x" and "x", or Fraction(2) and 2, never collide; half a surrogate, since no real text holds that tag
    if isinstance(value, bytes):
        return {"\ud800bytes": value.hex()}
    if isinstance(value, Fraction):
        return {"\ud800fraction": [value.numerator, value.denominator]}
    raise TypeError(f"{type(value).__name__} has no canonical form: build ids from plain values")


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
"""Sorts keys and prints the shortest exact float, ASCII only: one text for one content, lone surrogates included."""


def base32(raw: bytes) -> str:
    """Lower-case base32 without padding: 26 letters for an id; safe in file names that ignore case."""
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def read_base32(letters: str) -> bytes:
    """The inverse of `base32`."""
    return base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))


def show(kind: str, raw: Id) -> str:
    """An id as people read it, `task_mzxw6...`."""
    return f"{kind}_{base32(raw)}"


def read(text: str) -> tuple[str, Id]:
    """The inverse of `show`."""
    id_kind, _, letters = text.strip().rpartition("_")
    try:
        raw = read_base32(letters)
    except ValueError:
        raw = b""
    if not id_kind or len(raw) != ID_BYTES or base32(raw) != letters:
        raise InputError(
            f"{text!r} is not an id", hint="give it as it is printed: a kind, an underscore and 26 letters, like task_mzxw6..."
        )
    return id_kind, raw
