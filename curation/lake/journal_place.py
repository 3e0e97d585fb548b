"""Where an answer stands in the journal, and what bears on whether it is the one that counts."""

from __future__ import annotations

from dataclasses import dataclass

BEHIND_ALL = 2**62
"""Beyond any limit, which have at most 18 digits."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key's line stands, and what bears on whether it is the line that counts."""

    key: str
    limit: int | None = None
    """The most tokens that the answer could have; None where the line doesn't say."""
    is_cut: bool = False
    """The answer was cut off there."""
    file: int = 0
    """The number of its file."""
    offset: int = 0
    """Where in the file the line begins."""

    @property
    def rank(self) -> int:
        """The line with the lowest counts: those that aren't cut by their limit, then those that are, the largest first."""
        limit_or_zero = self.limit or 0
        return BEHIND_ALL - limit_or_zero if self.is_cut else limit_or_zero
