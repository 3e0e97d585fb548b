"""The samples of a review: drawn once by id, held in memory, and listed a page at a time.

All reviewers of a corpus are shown the same samples, also those that one of them has rejected meanwhile: otherwise their
agreement couldn't be measured.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from dmforge.curation.lake.views import CONNECTION, LakeView, interruptible
from dmforge.curation.report.cards import Card, CardSubject, cards
from dmforge.curation.report.pictures import Pictures
from dmforge.curation.sources.reviews import all_reviews
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.records import SubjectKind

BEFORE_ALL_IDS = b""
"""A cursor that is less than any id."""
_DRAWN_SQL = """
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
_ROWS_OF_CARDS = {
    "candidates": "id IN (SELECT subject FROM drawn)",
    "tasks": "id IN (SELECT task FROM held_candidates UNION ALL SELECT subject FROM drawn)",
    "videos": "id IN (SELECT video FROM drawn)",
    "samples": "task IN (SELECT id FROM held_tasks)",
    "packed": "sample IN (SELECT id FROM held_samples)",
    "verdicts": "subject IN (SELECT subject FROM drawn UNION ALL SELECT id FROM held_tasks UNION ALL SELECT video FROM drawn)",
}
"""By table, the condition on the rows that cards are made of; each may refer to the tables before it."""
_LISTED_SQL = """
CREATE TABLE listed AS
SELECT d.subject, d.written, d.video, t.task_kind AS kind, left(t.question, 200) AS question
FROM drawn d LEFT JOIN candidates c ON c.id = d.subject JOIN tasks t ON t.id = coalesce(c.task, d.subject)
ORDER BY d.subject
"""
_LINES_SQL = "SELECT subject, written, video, kind, question FROM listed"


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """A sample in the list."""

    subject: Id
    subject_kind: SubjectKind
    video: Id
    task_kind: str
    question: str


class ReviewPool:
    """The rows of the samples under review, and nothing else of the lake."""

    def __init__(
        self, workspace: WorkspaceFolder, view: LakeView, corpus: str, max_samples: int, min_scores: Mapping[str, float]
    ) -> None:
        self._corpus, self._min_scores, self._pictures = corpus, min_scores, Pictures(workspace)
        with interruptible():
            self._connection = _copy_rows(view, workspace, corpus, max_samples)
        ((self.total,),) = self._connection.execute("SELECT count(*) FROM listed").fetchall()
        if not self.total:
            hint = "select something first: dmforge audit funnel says what became of it"
            raise InputError(f"there is no sample of {corpus!r}", where="CORPUS", hint=hint)

    def page(self, after_subject: Id, max_lines: int) -> list[ReviewLine]:
        """The samples after an id, in the order of ids: later pages cost no more than the first."""
        sql = f"{_LINES_SQL} WHERE subject > $after ORDER BY subject LIMIT $most"
        return [
            _line(*line_row)
            for line_row in self._connection.cursor().execute(sql, {"after": after_subject, "most": max_lines}).fetchall()
        ]

    def find(self, subject: Id) -> ReviewLine | None:
        """The sample of this id, None where it is not under review."""
        line_rows = self._connection.cursor().execute(f"{_LINES_SQL} WHERE subject = $subject", {"subject": subject}).fetchall()
        return _line(*line_rows[0]) if line_rows else None

    def among(self, subject_ids: Collection[Id]) -> set[Id]:
        """Those of `subject_ids` that are under review."""
        cursor = self._connection.cursor()
        cursor.register("asked", pa.table({"id": pa.array(list(subject_ids), pa.binary(ID_BYTES))}))
        return {
            subject_row[0]
            for subject_row in cursor.execute("SELECT subject FROM listed SEMI JOIN asked ON subject = id").fetchall()
        }

    def holds_video(self, video: Id) -> bool:
        cursor = self._connection.cursor().execute("SELECT 1 FROM videos WHERE id = $video", {"video": video})
        return bool(cursor.fetchall())

    def card(self, review_line: ReviewLine) -> Card | None:
        """The card of a sample: all that there is to see of it."""
        card_subject = CardSubject(review_line.subject, review_line.subject_kind, True, self._corpus)
        sample_cards = cards(self._connection.cursor(), [card_subject], self._pictures, self._min_scores)
        return sample_cards[0] if sample_cards else None


def _line(subject: Id, is_candidate: bool, video: Id, task_kind: str, question: str) -> ReviewLine:
    return ReviewLine(subject, "candidate" if is_candidate else "task", video, task_kind, question)


def _copy_rows(view: LakeView, workspace: WorkspaceFolder, corpus: str, max_samples: int) -> duckdb.DuckDBPyConnection:
    """Copy the rows that cards are made of into a database of its own: later requests read no file of the lake."""
    lake_cursor, copy_connection = view.connection.cursor(), duckdb.connect(config=CONNECTION)
    review_rows = [
        (review.subject, review.subject_kind == "candidate", review.video)
        for review in all_reviews(workspace)
        if review.decision != "comment"  # those who only comment need no second opinion
    ]
    review_columns = list(zip(*review_rows, strict=True)) or [(), (), ()]
    id_type = pa.binary(ID_BYTES)
    type_by_column = {"subject": id_type, "written": pa.bool_(), "video": id_type}
    lake_cursor.register(
        "reviewed",
        pa.table(
            {
                column_name: pa.array(column_values, column_type)
                for (column_name, column_type), column_values in zip(type_by_column.items(), review_columns, strict=True)
            }
        ),
    )
    drawn_subjects = lake_cursor.sql(_DRAWN_SQL, params={"corpus": corpus, "most": max_samples}).to_arrow_table()
    lake_cursor.register("drawn", drawn_subjects)
    copy_connection.register("drawn", drawn_subjects)
    existing_tables = {
        view_row[0] for view_row in lake_cursor.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    }
    for table_name, condition_sql in _ROWS_OF_CARDS.items():
        if table_name in existing_tables:
            lake_cursor.execute(f"CREATE TEMP TABLE held_{table_name} AS SELECT * FROM {table_name} WHERE {condition_sql}")
            copy_connection.register("coming", lake_cursor.sql(f"FROM held_{table_name}").to_arrow_table())
            copy_connection.execute(f"CREATE TABLE {table_name} AS FROM coming")
            copy_connection.unregister("coming")
    copy_connection.execute(_LISTED_SQL)
    return copy_connection
