"""Members that came to a nested dataclass after records with it were stored.

Such a member is None by default. At None it is left out of what ids digest, so a row that doesn't use it keeps its id; older
parts, whose structs lack it, are read as None. Columns that hold such a dataclass say since when: `records.grown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from types import MappingProxyType
from typing import Any, Final

LATER_MEMBER: Final[Mapping[str, bool]] = MappingProxyType({"later_member": True})
"""The metadata of such a member: `box: Box | None = field(default=None, metadata=LATER_MEMBER)`."""


def is_later_member(member: Field[Any]) -> bool:
    """Whether a member of a nested dataclass was declared so."""
    return LATER_MEMBER.keys() <= member.metadata.keys()
