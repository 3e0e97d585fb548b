"""A share of the videos, by their ids: ids are digests, so equal ranges of them hold about equally many."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

SLOTS = 2**32
"""Ids are told apart by their first four bytes."""
LAST = b"\xff" * 17
"""Greater than any id."""
Bounds = Mapping[str, bytes]
"""A range of video ids, as SQL is given it: from `low` to below `high`."""


@dataclass(frozen=True, slots=True)
class Share:
    """One of `of` equal ranges of video ids."""

    rank: int = 0
    of: int = 1

    @property
    def first(self) -> int:
        """The first slot that is its own; it goes up to the first one of the next rank."""
        return self.rank * SLOTS // self.of

    @property
    def stop(self) -> int:
        return (self.rank + 1) * SLOTS // self.of

    def ranges(self, pieces: int) -> Iterator[Bounds]:
        """Its ids cut into ranges of such a size that all ids would be so many."""
        pieces = -(-pieces // self.of)
        width = self.stop - self.first
        bounds = [(self.first + step * width // pieces).to_bytes(4, "big") for step in range(pieces)]
        bounds.append(LAST if self.stop == SLOTS else self.stop.to_bytes(4, "big"))
        return ({"low": low, "high": high} for low, high in itertools.pairwise(bounds))


ALL = Share()
"""Every video."""
IN_ONE: Sequence[Bounds] = tuple(ALL.ranges(1))
"""All of them in one range."""
