"""Which ranges of videos a stage has settled, and which it hasn't begun, by what commits say of parts: few are read.

Ids are digests, so sets of them with equal extents are equal. A range whose outcomes have the extent of its inputs is settled,
one without outcomes is untouched, and any other is cut in the middle of its inputs, until few parts are left in it. What parts
have in a range commits say, but for those that lie across a border: these are read. So of a run that was interrupted the parts
around the places where it was are read, however many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dmforge.curation.lake.commits import extent_of
from dmforge.curation.lake.partition import LAST, Bounds
from dmforge.curation.lake.parts import Extent, Part

FEW_PARTS = 16
"""So few parts are rather read than cut into ranges."""
MAX_ACROSS = 64
"""With more parts across its borders a range isn't cut any further: each cut would read them again."""
MAX_CUTS = 200
"""So often ranges are cut at most, for some milliseconds each: where what is pending lies here and there nothing is gained."""
Parts = Sequence[Part]
ReadExtent = Callable[[Parts, Bounds], Extent]
"""The extent of what some parts have in a range, read from them."""


@dataclass(frozen=True, slots=True)
class ProgressRange:
    """A range of videos, and how far a stage has come in it."""

    low: bytes
    high: bytes
    progress: Literal["settled", "untouched", "mixed"]
    inputs: int
    """How many there are; 0 where it is mixed."""
    outcomes_inside: Parts = ()
    """The parts of outcomes all of whose rows lie in it, and those of which some do."""
    outcomes_across: Parts = ()

    @property
    def bounds(self) -> Bounds:
        return {"low": self.low, "high": self.high}

    def clipped(self, ranges: Iterable[Bounds]) -> Iterator[Bounds]:
        """What ranges have of this one."""
        for bounds in ranges:
            low, high = max(self.low, bounds["low"]), min(self.high, bounds["high"])
            if low < high:
                yield {"low": low, "high": high}


@dataclass(frozen=True, slots=True)
class _Cut:
    """The parts that have something in a range, in their order: all of them, those that lie in it, those that lie across."""

    parts: Parts
    inside: Parts
    across: Parts

    @classmethod
    def of(cls, parts: Parts, low: bytes, high: bytes) -> _Cut:
        low_digits, high_digits = low.hex(), high.hex()
        overlapping = [part for part in parts if part.videos.last >= low_digits and part.videos.first < high_digits]
        inside = [part for part in overlapping if part.videos.first >= low_digits and part.videos.last < high_digits]
        is_inside = {id(part) for part in inside}
        return cls(overlapping, inside, [part for part in overlapping if id(part) not in is_inside])


def progress_ranges(inputs: Parts, outcomes: Parts, read_extent: ReadExtent) -> list[ProgressRange]:
    """All ranges, from the first video to the last. No id stands twice in the parts of inputs, nor in those of outcomes, and
    their commits say which videos they have."""
    ranges, cuts = list[ProgressRange](), 0
    coming = deque[tuple[bytes, bytes, Parts, Parts]]()
    coming.append((b"", LAST, sorted(inputs, key=lambda part: part.videos.first), outcomes))
    while coming:  # the widest first: where cuts are used up, narrow ones are left
        low, high, parts, outcome_parts = coming.popleft()
        cut, outcome_cut, bounds = _Cut.of(parts, low, high), _Cut.of(outcome_parts, low, high), {"low": low, "high": high}
        if not cut.parts:
            continue  # outcomes that are here are of inputs that are not there any more
        if len(cut.across) + len(outcome_cut.across) > MAX_ACROSS:
            ranges.append(ProgressRange(low, high, "mixed", 0))
            continue
        extent, outcome_extent = _extent(cut, bounds, read_extent), _extent(outcome_cut, bounds, read_extent)
        middle = _middle(cut.inside, low)
        if extent == outcome_extent:
            ranges.append(ProgressRange(low, high, "settled", extent.count, outcome_cut.inside, outcome_cut.across))
        elif not outcome_extent.count:
            ranges.append(ProgressRange(low, high, "untouched", extent.count))
        elif middle is None or len(cut.parts) + len(outcome_cut.parts) <= FEW_PARTS or cuts == MAX_CUTS:
            ranges.append(ProgressRange(low, high, "mixed", 0))
        else:
            cuts += 1
            coming += [(low, middle, cut.parts, outcome_cut.parts), (middle, high, cut.parts, outcome_cut.parts)]
    return list(_mixed_joined(sorted(ranges, key=lambda progress_range: progress_range.low)))


def _mixed_joined(ranges: Iterable[ProgressRange]) -> Iterator[ProgressRange]:
    """Ranges of which no two that are mixed lie side by side: they are read together."""
    before: ProgressRange | None = None
    for progress_range in ranges:
        if before is not None and before.progress == progress_range.progress == "mixed" and before.high == progress_range.low:
            before = replace(before, high=progress_range.high)
            continue
        if before is not None:
            yield before
        before = progress_range
    if before is not None:
        yield before


def _middle(inside: Parts, low: bytes) -> bytes | None:
    """The first video of the part in the middle; None where that would cut nothing off."""
    middle = bytes.fromhex(inside[len(inside) // 2].videos.first) if inside else b""
    return middle if middle > low else None


def _extent(cut: _Cut, bounds: Bounds, read_extent: ReadExtent) -> Extent:
    return extent_of(cut.inside) + (read_extent(cut.across, bounds) if cut.across else Extent())
