"""Cards of rows that somebody opens, read from the lake: of each table the few row groups about the row's video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from dmforge.curation.browse.row_index import RowIndex
from dmforge.curation.lake.views import CONNECTION, LakeView
from dmforge.curation.report.cards import Card, CardSubject, cards
from dmforge.curation.report.pictures import Pictures
from dmforge.schemas.ids import Id

VIDEO_COLUMNS: Mapping[str, str] = {
    "videos": "id", "tasks": "video", "candidates": "video", "samples": "video", "packed": "video", "verdicts": "video",
}  # fmt: skip
"""What cards are made of: each table, and its column that names the video."""


class RowCards:
    """Reads cards from the lake as it was when the index was read."""

    def __init__(self, view: LakeView, index: RowIndex, pictures: Pictures, min_scores: Mapping[str, float]) -> None:
        self._view, self._index, self._pictures, self._min_scores = view, index, pictures, min_scores
        tables = view.selects()
        self._database = duckdb.connect(config=CONNECTION)
        self._video_columns = {table: column for table, column in VIDEO_COLUMNS.items() if table in tables}
        view.check_named(" ".join(self._video_columns))
        view.open()

    def cards_of(self, rows: Sequence[int], pictured: int) -> list[Card]:
        """The cards of rows about one video; frames are shown on the first `pictured` of them."""
        subjects = [self._subject(row) for row in rows]
        with self._rows_about(self._index.video(rows[0])) as cursor:
            shown_cards = cards(cursor, subjects[:pictured], self._pictures, self._min_scores)
            further_subjects = subjects[pictured:]
            return shown_cards + (cards(cursor, further_subjects, None, self._min_scores) if further_subjects else [])

    def _subject(self, row: int) -> CardSubject:
        state, reason = (self._index.facets[column].name(row) for column in ("state", "reason"))
        is_kept = state.startswith("kept in ")
        group = state if is_kept or not reason else f"{state} by {reason}"
        return CardSubject(self._index.id(row), self._index.subject_kind(row), is_kept, group)

    def _rows_about(self, video: Id) -> duckdb.DuckDBPyConnection:
        """A cursor that sees the rows about one video and no others."""
        cursor = self._database.cursor()
        for table, column in self._video_columns.items():
            rows = self._view.unchecked(f"SELECT * FROM {table} WHERE {column} = $video", {"video": video})
            cursor.register(table, rows)
        return cursor
