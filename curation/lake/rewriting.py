"""The one way in which rows leave the lake: a commit is replaced by one without them, never edited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dmforge.curation.lake.commits import Commit, Draft, Lake
from dmforge.curation.lake.parts import Part, read_part
from dmforge.schemas.ids import digest, read


class Removal:
    """Which rows go: those of some tables whose `column` holds one of `values`. `name` tells one removal from another."""

    def __init__(self, name: str, column: Callable[[str], str | None], values: pa.Array[Any]) -> None:
        self._name, self._column, self._values = name, column, values

    def apply(self, lake: Lake, commit: Commit) -> int:
        """Replace a commit by one without these rows, if it has any; how many there were."""
        removed = self.count(lake, commit)
        if removed and removed == sum(part.rows for part in commit.parts):
            lake.withdraw(commit)
        elif removed:
            roster = commit.kind == "roster"
            # a shortened roster is of no edition: the next run scans again
            kind, config = ("roster", {}) if roster else ("rewriting", commit.config)
            variant = read(f"variant_{commit.variant}")[1]
            draft = Draft(kind, commit.stage, variant, digest(self._name, commit.id), config, supersedes=(commit.id,))
            lake.publish(draft, {part.table: self._kept(lake, part) for part in commit.parts})
        return removed

    def count(self, lake: Lake, commit: Commit) -> int:
        """How many rows of a commit would go."""
        return sum(self._count(lake, part) for part in commit.parts)

    def _count(self, lake: Lake, part: Part) -> int:
        column = self._column(part.table)
        if column is None:
            return 0
        # one column only: this is asked of every part whenever a run starts on a workspace with takedowns
        cells = pq.read_table(part.path(lake.workspace.lake), columns=[column]).column(column)
        return cells.filter(pc.is_in(cells, self._values)).length()

    def _kept(self, lake: Lake, part: Part) -> Iterator[pa.Table]:
        column = self._column(part.table)
        for table in read_part(lake.workspace.lake, part):
            yield table if column is None else table.filter(pc.invert(pc.is_in(table.column(column), self._values)))
