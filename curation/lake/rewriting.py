"""Removal of rows, the one way in which they leave the lake: a commit is replaced by one without them, never edited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dmforge.curation.lake.commits import Commit, CommitDraft, Lake
from dmforge.curation.lake.parts import Part, naming_damaged_part, read_part
from dmforge.curation.lake.video_range import video_column
from dmforge.schemas.columns import id_list, schema
from dmforge.schemas.ids import digest, read
from dmforge.schemas.records import TABLES

SEVERAL = "videos"
"""The column of rows that are about more than one video: they go with any of them."""


class Removal:
    """A rule for the rows that go: those whose `column` of a table holds one of `values`. `name` tells removals apart."""

    def __init__(self, name: str, column_of_table: Callable[[str], str | None], values: pa.Array[Any]) -> None:
        self._name, self._column, self._values = name, column_of_table, values

    def apply(self, lake: Lake, commit: Commit) -> int:
        """Replace a commit by one without these rows, if it has any; how many there were."""
        removed_count = self.count(lake, commit)
        if removed_count and removed_count == sum(part.rows for part in commit.parts):
            lake.withdraw(commit)
        elif removed_count:
            is_roster = commit.kind == "roster"
            # a shortened roster is of no edition: the next run scans again
            commit_kind, config = ("roster", {}) if is_roster else ("rewriting", commit.config)
            variant = read(f"variant_{commit.variant}")[1]
            commit_draft = CommitDraft(
                commit_kind, commit.stage, variant, digest(self._name, commit.id), config, supersedes=(commit.id,)
            )
            lake.publish(commit_draft, {part.table: self._remaining_tables(lake, part) for part in commit.parts})
        return removed_count

    def count(self, lake: Lake, commit: Commit) -> int:
        """How many rows of a commit would go."""
        return sum(self._count(lake, part) for part in commit.parts)

    def present_values(self, lake: Lake, commit: Commit) -> set[Any]:
        """Which of the values a commit has rows of."""
        return {present_value for part in commit.parts for present_value in self._present_values(lake, part)}

    def _count(self, lake: Lake, part: Part) -> int:
        deciding_column = self._cells(lake, part)
        return 0 if deciding_column is None else int(pc.sum(_holds(deciding_column, self._values)).as_py() or 0)

    def _present_values(self, lake: Lake, part: Part) -> list[Any]:
        deciding_column = self._cells(lake, part)
        if deciding_column is None:
            return []
        flat_values = pc.list_flatten(deciding_column) if pa.types.is_list(deciding_column.type) else deciding_column
        return flat_values.filter(pc.is_in(flat_values, self._values)).unique().to_pylist()

    def _cells(self, lake: Lake, part: Part) -> pa.ChunkedArray[Any] | None:
        """The column of a part that decides; None where its table has none."""
        column_name = self._column(part.table)
        if column_name is None or self._is_of_other_videos(part, column_name):
            return None
        # one column only, and unhashed: this is asked of parts whenever a run starts on a workspace with takedowns
        part_path = part.path(lake.workspace.lake)
        with naming_damaged_part(lake.workspace.lake, [part]):
            column_name = SEVERAL if SEVERAL in pq.read_schema(part_path).names else column_name
            return pq.read_table(part_path, columns=[column_name]).column(column_name)

    def _is_of_other_videos(self, part: Part, column_name: str) -> bool:
        """Whether what goes is chosen by the video of a row, and the part's commit says that it has none of these."""
        has_several = part.table in TABLES and SEVERAL in schema(TABLES[part.table]).names
        if column_name != video_column(part.table) or has_several or not part.videos.first:
            return False
        return not any(part.videos.may_have(video) for video in id_list(self._values))

    def _remaining_tables(self, lake: Lake, part: Part) -> Iterator[pa.Table]:
        column_name = self._column(part.table)
        for table in read_part(lake.workspace.lake, part):
            checked_column = SEVERAL if column_name is not None and SEVERAL in table.column_names else column_name
            yield (
                table if checked_column is None else table.filter(pc.invert(_holds(table.column(checked_column), self._values)))
            )


def _holds(cells: pa.ChunkedArray[Any], values: pa.Array[Any]) -> pa.Array[Any]:
    """For each cell whether it is, or has in it, one of the values."""
    cell_array = cells.combine_chunks()
    if not pa.types.is_list(cell_array.type):
        return pc.is_in(cell_array, values)
    is_hit = pc.is_in(pc.list_flatten(cell_array), values)
    hit_rows = set(pc.list_parent_indices(cell_array).filter(is_hit).to_pylist())
    return pa.array([row_index in hit_rows for row_index in range(len(cell_array))], pa.bool_())
