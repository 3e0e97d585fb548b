"""The samples that are looked at: drawn once by id, held in memory, and given out a page at a time.

Two who review the same corpus are shown the same ones, also what one of them has rejected meanwhile: else nobody could tell
how far they agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from dmforge.curation.audit.report.cards import Card, Chosen, cards
from dmforge.curation.audit.report.pictures import Pictures
from dmforge.curation.lake.views import CONNECTION, View, interruptible
from dmforge.curation.sources.reviews import all_reviews
from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.records import SubjectKind

NOTHING = b""
"""Less than any id."""
_DRAWN = """
WITH meant AS (
    SELECT coalesce(candidate, task) AS subject, candidate IS NOT NULL AS written, video FROM samples WHERE corpus = $corpus
), seen AS (
    SELECT r.subject, r.written, r.video FROM reviewed r
    WHERE r.written IN (SELECT written FROM meant)
        AND (r.subject IN (SELECT id FROM candidates) OR r.subject IN (SELECT id FROM tasks))
)
SELECT subject, any_value(written) AS written, any_value(video) AS video FROM (FROM meant UNION ALL FROM seen)
GROUP BY subject ORDER BY md5(subject), subject LIMIT $most
"""
_ABOUT = {
    "candidates": "id IN (SELECT subject FROM drawn)",
    "tasks": "id IN (SELECT task FROM held_candidates UNION ALL SELECT subject FROM drawn)",
    "videos": "id IN (SELECT video FROM drawn)",
    "samples": "task IN (SELECT id FROM held_tasks)",
    "packed": "sample IN (SELECT id FROM held_samples)",
    "verdicts": "subject IN (SELECT subject FROM drawn UNION ALL SELECT id FROM held_tasks UNION ALL SELECT video FROM drawn)",
}
"""What cards are made of, each beside those before it."""
_LISTED = """
CREATE TABLE listed AS
SELECT d.subject, d.written, d.video, t.task_kind AS kind, left(t.question, 200) AS question
FROM drawn d LEFT JOIN candidates c ON c.id = d.subject JOIN tasks t ON t.id = coalesce(c.task, d.subject)
ORDER BY d.subject
"""
_LINES = "SELECT subject, written, video, kind, question FROM listed"


@dataclass(frozen=True, slots=True)
class Line:
    """A sample in the list."""

    subject: Id
    subject_kind: SubjectKind
    video: Id
    task_kind: str
    question: str


class Pool:
    """What is reviewed, and nothing else of the lake."""

    def __init__(self, workspace: Workspace, view: View, corpus: str, most: int, least: Mapping[str, float]) -> None:
        self._corpus, self._least, self._pictures = corpus, least, Pictures(workspace)
        with interruptible():
            self._connection = _held(view, workspace, corpus, most)
        ((self.total,),) = self._connection.execute("SELECT count(*) FROM listed").fetchall()
        if not self.total:
            mend = "select something first: dmforge audit funnel says what became of it"
            raise InputError(f"there is no sample of {corpus!r}", where="CORPUS", mend=mend)

    def page(self, after: Id, most: int) -> list[Line]:
        """The samples behind one, by id: no page costs more for being a later one."""
        sql = f"{_LINES} WHERE subject > $after ORDER BY subject LIMIT $most"
        return [_line(*row) for row in self._connection.cursor().execute(sql, {"after": after, "most": most}).fetchall()]

    def find(self, subject: Id) -> Line | None:
        """A sample, if it is one of these."""
        found = self._connection.cursor().execute(f"{_LINES} WHERE subject = $subject", {"subject": subject}).fetchall()
        return _line(*found[0]) if found else None

    def among(self, subjects: Collection[Id]) -> set[Id]:
        """Those of some subjects that are reviewed here."""
        cursor = self._connection.cursor()
        cursor.register("asked", pa.table({"id": pa.array(list(subjects), pa.binary(ID_BYTES))}))
        return {row[0] for row in cursor.execute("SELECT subject FROM listed SEMI JOIN asked ON subject = id").fetchall()}

    def holds_video(self, video: Id) -> bool:
        found = self._connection.cursor().execute("SELECT 1 FROM videos WHERE id = $video", {"video": video})
        return bool(found.fetchall())

    def card(self, line: Line) -> Card | None:
        """All that there is to see of it."""
        chosen = Chosen(line.subject, line.subject_kind, True, self._corpus)
        found = cards(self._connection.cursor(), [chosen], self._pictures, self._least)
        return found[0] if found else None


def _line(subject: Id, written: bool, video: Id, kind: str, question: str) -> Line:
    return Line(subject, "candidate" if written else "task", video, kind, question)


def _held(view: View, workspace: Workspace, corpus: str, most: int) -> duckdb.DuckDBPyConnection:
    """A database of its own with the rows that cards are made of: later requests read no file of the lake."""
    lake, alone = view.connection.cursor(), duckdb.connect(config=CONNECTION)
    reviews = [(r.subject, r.subject_kind == "candidate", r.video) for r in all_reviews(workspace)]
    columns = list(zip(*reviews, strict=True)) or [(), (), ()]
    ids = pa.binary(ID_BYTES)
    kinds = {"subject": ids, "written": pa.bool_(), "video": ids}
    lake.register("reviewed", pa.table({n: pa.array(c, t) for (n, t), c in zip(kinds.items(), columns, strict=True)}))
    drawn = lake.sql(_DRAWN, params={"corpus": corpus, "most": most}).to_arrow_table()
    lake.register("drawn", drawn)
    alone.register("drawn", drawn)
    there = {row[0] for row in lake.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
    for table, about in _ABOUT.items():
        if table in there:
            lake.execute(f"CREATE TEMP TABLE held_{table} AS SELECT * FROM {table} WHERE {about}")
            alone.register("coming", lake.sql(f"FROM held_{table}").to_arrow_table())
            alone.execute(f"CREATE TABLE {table} AS FROM coming")
            alone.unregister("coming")
    alone.execute(_LISTED)
    return alone
