"""Which videos the rows of a part are about: the first and the last, and where ranges are wide a filter of those between.

Who wants a range of videos, or one, opens the parts that may have them. Batches are cut in the order of videos, so parts of
one stage lie side by side, and first and last say it all. A later run over a few more videos makes parts that each span most
ids and hold hardly any: these have a filter. It is a hash set without a hash, since ids are digests: equal slots between first
and last, one bit for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow.parquet as pq

from dmforge.curation.lake.partition import SLOTS
from dmforge.schemas.columns import id_matrix
from dmforge.schemas.ids import Id
from dmforge.schemas.records import TABLES, Outcome

if TYPE_CHECKING:
    from dmforge.schemas.columns import IdColumn

WIDE = SLOTS // 16
"""Parts that span less overlap with few others: they have no filter."""
FILTERED_VIDEOS = 2048
"""The most videos that a filter is made for. A part with more that spans most ids has some in nearly every range."""
DIGITS = re.compile("([0-9a-f]{32})?,([0-9a-f]{32})?,[0-9a-f]*")
"""First, last and slots, as one text: there may be a hundred thousand of them to check."""
BITS_A_VIDEO = 4
"""One hexadecimal digit a video: a filter is at most 2 kB, and has one bit in five set."""


@dataclass(frozen=True, slots=True)
class VideoRange:
    """The videos of a part, as its commit says them, in hexadecimal digits. Unknown, in commits of before, is any."""

    first: str = ""
    last: str = ""
    slots: str = ""
    """The bits of the filter, the first slot's lowest; empty where there is none."""

    def __post_init__(self) -> None:
        # a commit file could come from anywhere
        if not DIGITS.fullmatch(f"{self.first},{self.last},{self.slots}"):
            raise ValueError("the range of its videos is none")

    def overlaps(self, low: str, high: str) -> bool:
        """Whether some of its videos may lie in a range, from `low` to below `high`, in hexadecimal digits too."""
        if not self.first:
            return True
        if self.last < low or self.first >= high:
            return False
        if not self.slots:
            return True
        first_slot, last_slot = self._slot(max(low, self.first)), self._slot(min(high, self.last))
        return bool(int(self.slots, 16) >> first_slot & (1 << last_slot - first_slot + 1) - 1)

    def may_have(self, video: Id) -> bool:
        """Whether it may be about a video."""
        return self.overlaps(video.hex(), video.hex() + "00")

    def _slot(self, video: str) -> int:
        return int(_slots(np.array([_prefix(video)]), _prefix(self.first), _prefix(self.last), 4 * len(self.slots))[0])


def distinct_videos(column: IdColumn) -> np.ndarray:
    """The videos in a column, each once."""
    return np.unique(id_matrix(column.drop_null()).view("V16"))


def video_range(videos: Iterable[np.ndarray]) -> VideoRange:
    """The range of videos that come in pieces."""
    distinct = np.unique(np.concatenate([np.array([], "V16"), *videos]))
    if not len(distinct):
        return VideoRange()
    first, last = distinct[0].tobytes().hex(), distinct[-1].tobytes().hex()
    if len(distinct) > FILTERED_VIDEOS or _prefix(last) - _prefix(first) < WIDE:
        return VideoRange(first, last)
    prefixes = distinct.view(">u4").reshape(-1, 4)[:, 0].astype(np.int64)
    bits = 0
    for slot in _slots(prefixes, _prefix(first), _prefix(last), BITS_A_VIDEO * len(distinct)).tolist():
        bits |= 1 << slot
    return VideoRange(first, last, f"{bits:0{len(distinct)}x}")


def range_of_file(part_path: Path, column_name: str) -> VideoRange:
    """The range of a part whose commit doesn't say it, from its footer: to be asked once its bytes were checked."""
    with pq.ParquetFile(part_path) as parquet_file:
        metadata = parquet_file.metadata
        column_index = metadata.schema.names.index(column_name)
        groups = (metadata.row_group(group).column(column_index) for group in range(metadata.num_row_groups))
        statistics = [group.statistics for group in groups]
    if not all(group is not None and group.has_min_max for group in statistics):
        return VideoRange()
    bounds = [cast("Id", bound) for group in statistics if group is not None for bound in (group.min, group.max)]
    return VideoRange(min(bounds).hex(), max(bounds).hex())


def video_column(table_name: str) -> str | None:
    """The column of a table that says which video a row is about; None where the package that has the table is missing."""
    if table_name == Outcome.table:
        return "video"
    return TABLES[table_name].video_column if table_name in TABLES else None


def _slots(prefixes: np.ndarray, first: int, last: int, slot_count: int) -> np.ndarray:
    return (prefixes - first) * slot_count // (last - first + 1)


def _prefix(video: str) -> int:
    return int(video[:8].ljust(8, "0"), 16)
