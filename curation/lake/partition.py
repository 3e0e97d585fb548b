"""Shares of the videos for ranks, as ranges of ids: ids are digests, so equal ranges of them hold about equally many."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

SLOTS = 2**32
"""Ids are told apart by their first four bytes."""
LAST = b"\xff" * 17
"""Greater than any id."""
Bounds = Mapping[str, bytes]
"""A range of video ids as parameters of SQL: from `low` to below `high`."""


@dataclass(frozen=True, slots=True)
class Share:
    """The videos of rank `rank` among `of`: one of so many equal ranges of their ids."""

    rank: int = 0
    of: int = 1

    @property
    def first(self) -> int:
        """The first slot of the share; `stop` is the first one of the next rank."""
        return self.rank * SLOTS // self.of

    @property
    def stop(self) -> int:
        return (self.rank + 1) * SLOTS // self.of

    def ranges(self, total_ranges: int) -> Iterator[Bounds]:
        """The share cut into ranges so large that `total_ranges` of them would cover all ids."""
        total_ranges = -(-total_ranges // self.of)
        share_width = self.stop - self.first
        range_bounds = [
            (self.first + range_index * share_width // total_ranges).to_bytes(4, "big") for range_index in range(total_ranges)
        ]
        range_bounds.append(LAST if self.stop == SLOTS else self.stop.to_bytes(4, "big"))
        return ({"low": low_bound, "high": high_bound} for low_bound, high_bound in itertools.pairwise(range_bounds))


ALL = Share()
"""Every video."""
IN_ONE: Sequence[Bounds] = tuple(ALL.ranges(1))
"""Every video in one range."""
