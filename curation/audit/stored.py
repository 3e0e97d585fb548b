"""The committed rows as they are stored, with the commit that each stands in: also those that are no longer current.

A row's video is known as soon as the row is, and parts are written in the order of videos. So what is about one video is read
from a few row groups, however large the lake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dmforge.curation.lake.commits import Commit, Lake
from dmforge.curation.lake.views import View, quoted
from dmforge.curation.stage import Stage
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Item, Outcome, Record

StageClass = type[Stage[Item, Record]]
FindStage = Callable[[str], StageClass | None]
"""The class of a stage by its name; None where this version has none of that name."""


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row where it stands."""

    table: str
    values: dict[str, Any]
    commit: Commit
    part: Path

    @property
    def id(self) -> Id:
        return self.values["id"]

    @property
    def made_from(self) -> Id | None:
        return self.values.get("made_from")


class Stored:
    """All that is committed in a workspace, under whichever recipe."""

    def __init__(self, lake: Lake, view: View, stage_of: FindStage) -> None:
        self.lake, self.view, self._stage_of = lake, view, stage_of
        self._parts: dict[str, list[tuple[Path, Commit]]] = {}
        for commit in lake.commits.values():
            for part in commit.parts:
                self._parts.setdefault(part.table, []).append((part.path(lake.workspace.lake), commit))

    @cached_property
    def records(self) -> dict[str, type[Record]]:
        """What the tables hold, as far as this version knows the stages that filled them."""
        found: dict[str, type[Record]] = {}
        for name in sorted({commit.stage for commit in self.lake.commits.values()}):
            stage = self._stage_of(name)
            if stage is not None:
                found |= {record.table: record for record in (*stage.makes, stage.reads)}
        return {table: record for table, record in sorted(found.items()) if self.has(table)}

    def reads(self, stage: str) -> str | None:
        """The table that a stage reads."""
        found = self._stage_of(stage)
        return None if found is None else found.reads.table

    def has(self, table: str) -> bool:
        return table in self._parts

    def sql(self, table: str, columns: Sequence[str] = ("*",)) -> str:
        """A table as SQL, of all parts; their columns may differ from version to version."""
        paths = ", ".join(quoted(path) for path, _ in self._parts[table])
        source = f"read_parquet([{paths}], union_by_name = true, filename = true, hive_partitioning = false)"
        return f"(SELECT {', '.join(columns)} FROM {source})"

    def about(self, table: str, video: Id) -> list[StoredRow]:
        """Every row of a table about a video."""
        column = "video" if table == Outcome.table else self.records[table].video_column
        return self._rows(table, f"{column} = $value", video)

    def row(self, table: str, id: Id) -> list[StoredRow]:
        """A row, as often as it is stored."""
        return self._rows(table, "id = $value", id)

    def _rows(self, table: str, condition: str, value: Id) -> list[StoredRow]:
        if not self.has(table):
            return []
        commits = {str(path): commit for path, commit in self._parts[table]}
        rows = self.view.table(f"SELECT * FROM {self.sql(table)} WHERE {condition}", {"value": value}).to_pylist()
        return [StoredRow(table, row, commits[name], Path(name)) for row in rows for name in [row.pop("filename")]]
