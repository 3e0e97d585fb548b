"""Members that came to a nested dataclass after records with it were stored.

Such a member is None by default. At None it is left out of what ids digest, so a row that doesn't use it keeps its id; older
parts, whose structs lack it, are read as None.
"""

from __future__ import annotations

from dataclasses import Field, field
from typing import Any

_LATER_MEMBER = "later_member"


def later_member() -> Any:
    """The declaration of such a member: `box: Box | None = later_member()`. Columns that hold it say so: `records.grown`."""
    return field(default=None, metadata={_LATER_MEMBER: True})


def is_later_member(member: Field[Any]) -> bool:
    """Whether a member of a nested dataclass was declared so."""
    return _LATER_MEMBER in member.metadata
