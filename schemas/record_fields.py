"""The columns of records that are more than content: later ones, provenance, receipts. Each is a field with a mark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TypeVar

from dmforge.schemas.columns import GROWN, SINCE
from dmforge.schemas.ids import Id

T = TypeVar("T")
UNKNOWN = "unknown"
"""What a source, licence or namespace says when nobody said it: a value that `select` can filter on, not an absence."""


def later(default: T, since: int) -> T:
    """A column that a table has since its format of this number. Rows of older parts have the default."""
    return field(default=default, kw_only=True, metadata={SINCE: since})


def later_aside(default: T, since: int) -> T:
    """A column that a table has since its format of this number, outside the id."""
    return field(default=default, kw_only=True, metadata={SINCE: since, "aside": True})


def receipt(since: int) -> tuple[Id, ...]:
    """A column of digests that checks hold against what a row was made from: outside its id, and empty in older rows."""
    return field(default=(), kw_only=True, metadata={SINCE: since, "receipt": True})


def grown(since: int) -> Mapping[str, int]:
    """The mark of a column whose dataclass has a later member since the table's format of this number. Older rows have None."""
    return {GROWN: since}


def aside(default: str = UNKNOWN) -> str:
    """A field outside the id: provenance."""
    return field(default=default, kw_only=True, metadata={"aside": True})
