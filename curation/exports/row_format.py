"""What a format is: how a sample becomes rows, and how rows become files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from textwrap import indent
from typing import Any

from dmforge.curation.exports.export_place import ExportPlace
from dmforge.curation.shards.document import ShardSample, ShardVideo
from dmforge.curation.shards.folders import Manifest
from dmforge.schemas.clips import Clips
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.frames import FramePlan
from dmforge.schemas.sizes import Size
from dmforge.schemas.stamps import patch_times

Row = dict[str, Any]
TableRow = tuple[str, Row]
"""The table that a row stands in, and the row; all that JSON can say."""


@dataclass(frozen=True, slots=True)
class ExportedClip:
    """A clip as a file of its own."""

    path: str
    """From the folder of the export."""
    plan: FramePlan
    size: Size

    def as_json(self) -> Row:
        """Which frames of the video the file holds, and the stamps under which a student was shown them, a pair each."""
        return {
            "path": self.path,
            "start_s": _rounded(self.plan.times_s[0]),
            "fps": _rounded(self.plan.actual_fps),
            "frame_times_s": [_rounded(time_s) for time_s in self.plan.times_s],
            "stamps_s": [float(f"{float(time_s):.1f}") for time_s in patch_times(self.plan.times_s)],
        }


@dataclass(frozen=True, slots=True)
class ClippedSample:
    """A sample whose clips have been written."""

    sample: ShardSample
    video: ShardVideo
    settings: Clips
    """How its frames are cut and sized."""
    coarse: ExportedClip
    looks: tuple[ExportedClip, ...]
    """In the order of its transcript; empty where a format cuts none."""
    grid_path: str
    """The rendition that looks are cut from, where a format has it; else empty."""

    @property
    def clips(self) -> tuple[ExportedClip, ...]:
        return (self.coarse, *self.looks)

    @property
    def paths(self) -> list[str]:
        return [clip.path for clip in self.clips]

    def clips_json(self) -> list[Row]:
        return [clip.as_json() for clip in self.clips]


@dataclass(frozen=True, slots=True)
class ExportTables:
    """All rows of an export, from which its files are written."""

    place: ExportPlace
    manifest: Manifest
    dialect: Dialect
    part_names: tuple[str, ...]
    counts: dict[str, int]
    """How many rows each table has."""

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table, in the order of the corpus."""
        for part_name in self.part_names:
            content = self.place.read(part_name)
            assert content is not None, "parts stay until an export is finished"
            for line in content.splitlines()[1:]:
                row_table, row = json.loads(line)
                if row_table == table:
                    yield row

    def write_json(self, name: str, content: object) -> None:
        """A small document."""
        with self.place.file(name) as file:
            file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def write_list(self, name: str, rows: Iterable[Row]) -> None:
        """A JSON list as `json` indents it, of which never more than a row is in memory."""
        with self.place.file(name) as file:
            separator = "[\n"
            for row in rows:
                file.write((separator + indent(json.dumps(row, indent=2, ensure_ascii=False), "  ")).encode())
                separator = ",\n"
            file.write(b"[]\n" if separator == "[\n" else b"\n]\n")

    def write_tables(self, *tables: str) -> None:
        """A file of lines for each of these tables that has rows, by its name."""
        for table in tables:
            if self.counts[table]:
                self.write_lines(f"{table}.jsonl", self.rows(table))

    def write_lines(self, name: str, rows: Iterable[Row]) -> None:
        """A JSON document a line."""
        with self.place.file(name) as file:
            file.writelines((json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows)


@dataclass(frozen=True, slots=True)
class RowFormat:
    """A format of another trainer."""

    rows: Callable[[ClippedSample, Dialect], Iterable[TableRow]]
    """The rows of a sample; none where the format has no words for it."""
    finish: Callable[[ExportTables], None]
    """Writes the files."""
    dialects: tuple[DialectName, ...] = ("span",)
    """The forms in which its rows may be written; the first one unless something else is said."""
    cuts_looks: bool = True
    """Whether each look gets a clip of its own."""
    has_coarse: bool = True
    """Whether the overview comes along."""
    has_grid: bool = False
    """Whether the rendition that looks are cut from comes along."""
    has_grid_of_tasks_alone: bool = False
    """Whether that is so for tasks alone: rows of trajectories don't name it."""
    caveats: tuple[str, ...] = ()
    """What its readers lose or get wrong, each in a sentence."""


def _rounded(number: Fraction) -> float:
    return round(float(number), 6)
