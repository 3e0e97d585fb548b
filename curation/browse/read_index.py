"""The index of rows, read from the lake once: each table is read through, and only small columns of it stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dmforge.curation.audit.query import Tables, prepare
from dmforge.curation.audit.row_search import TEXTS
from dmforge.curation.browse.row_columns import NamedColumn, NamedColumnBuilder, ScoreColumn, score_column
from dmforge.curation.browse.row_index import FACETS, IdMatrix, IndexedTasks, RowIndex
from dmforge.curation.browse.token_index import TokenIndex
from dmforge.curation.contract.collective import View
from dmforge.curation.lake.views import interruptible
from dmforge.schemas.columns import id_matrix
from dmforge.schemas.records import Candidate

if TYPE_CHECKING:
    from typing import Any

Progress = Callable[[str, int, int], None]
"""Called with what is read now, how many rows of it were, and how many there are."""
BATCH_ROWS = 1 << 16
MAX_QUESTION_CHARS = 200
TABLES_READ = "videos tasks candidates samples outcomes verdicts"
_TASKS = """
CREATE TEMP TABLE browse_tasks AS
SELECT row_number() OVER (ORDER BY t.id) - 1 AS task, t.id, t.video, t.task_kind AS kind, t.source, t.split,
    coalesce(v.licence, t.licence) AS licence, left(t.question, $question_chars) AS question
FROM tasks t LEFT JOIN videos v ON v.id = t.video;
"""
_VIDEOS = """
CREATE TEMP TABLE browse_videos AS
SELECT row_number() OVER (ORDER BY video) - 1 AS place, video FROM (SELECT DISTINCT video FROM browse_tasks);
"""
# of several stages the last one says why: what failed early and was kept nevertheless was kept
_ROWS = """
CREATE TEMP TABLE browse_rows AS
WITH unmade AS (
    SELECT o.input AS id, arg_max(o.status, s.position) AS status, arg_max(o.stage || ': ' || o.reason, s.position) AS reason
    FROM outcomes o JOIN browse_stages s ON s.stage = o.stage WHERE o.status <> 'made' GROUP BY o.input
), kept AS (
    SELECT coalesce(candidate, task) AS id, string_agg(DISTINCT corpus, ', ' ORDER BY corpus) AS corpora FROM samples GROUP BY 1
), subjects AS (
    SELECT id, task, attempt, teacher, 'candidate' AS subject FROM candidates
    UNION ALL SELECT id, id, -1, '', 'task' FROM tasks
)
SELECT row_number() OVER (ORDER BY t.task, s.attempt, s.id) - 1 AS row, s.id, s.subject, t.task, t.video, s.teacher,
    coalesce(u.reason, '') AS reason,
    CASE WHEN k.id IS NOT NULL THEN 'kept in ' || k.corpora ELSE coalesce(u.status, 'not decided') END AS state
FROM subjects s JOIN browse_tasks t ON t.id = s.task LEFT JOIN unmade u ON u.id = s.id LEFT JOIN kept k ON k.id = s.id
WHERE s.subject = 'candidate' OR k.id IS NOT NULL OR u.id IS NOT NULL OR s.id NOT IN (SELECT task FROM candidates)
"""
_PROMPTS = """
WITH prompted AS (
    SELECT DISTINCT request, prompt || ' ' || prompt_sha256[:8] AS prompt FROM answers WHERE prompt IS NOT NULL
), requested AS (
    SELECT id, unnest(requests) AS request FROM candidates
)
SELECT r.row, string_agg(DISTINCT p.prompt, ', ' ORDER BY p.prompt) AS prompt
FROM requested q JOIN prompted p ON p.request = q.request JOIN browse_rows r ON r.id = q.id GROUP BY r.row
"""
_VERDICTS = """
SELECT s.{place} AS place, v.filter, v.score FROM verdicts v JOIN {subjects} s ON s.{id} = v.subject AND s.video = v.video
"""
_SCORES: Mapping[str, str] = {
    "rows": _VERDICTS.format(place="row", subjects="browse_rows", id="id"),
    "tasks": _VERDICTS.format(place="task", subjects="browse_tasks", id="id"),
    "videos": _VERDICTS.format(place="place", subjects="browse_videos", id="video"),
}
"""Verdicts about rows themselves, about their tasks, and about their videos. One about another video's subject counts for
nothing."""
_SPOKEN = f"SELECT r.row, {TEXTS[Candidate.table]} AS text FROM candidates c JOIN browse_rows r ON r.id = c.id"
_ASKED = """
SELECT b.task, concat_ws(' ', t.question, array_to_string(t.options, ' '), t.answer, t.origin, v.source_id) AS text
FROM tasks t JOIN browse_tasks b ON b.id = t.id LEFT JOIN videos v ON v.id = t.video
"""


def read_index(
    view: View, stage_names: Sequence[str], min_scores: Mapping[str, float], extra_tables: Tables, progress: Progress
) -> RowIndex:
    """The index of what is current under a recipe. `min_scores` are what its selections ask for."""
    cursor = view.cursor(TABLES_READ)
    with interruptible():
        return _Reading(cursor, min_scores, progress).index(stage_names, extra_tables)


@dataclass(frozen=True, slots=True)
class _Reading:
    cursor: duckdb.DuckDBPyConnection
    min_scores: Mapping[str, float]
    progress: Progress

    def index(self, stage_names: Sequence[str], extra_tables: Tables) -> RowIndex:
        self.progress("tasks", 0, 1)
        self.cursor.register("browse_stages", pa.table({"stage": list(stage_names), "position": list(range(len(stage_names)))}))
        self.cursor.execute(_TASKS, {"question_chars": MAX_QUESTION_CHARS})
        self.cursor.execute(_VIDEOS)
        self.progress("rows", 0, 1)
        self.cursor.execute(_ROWS)
        task_rows = self._table(
            "SELECT t.id, t.question, v.place FROM browse_tasks t JOIN browse_videos v ON v.video = t.video ORDER BY t.task"
        )
        rows = self._table("SELECT id, task FROM browse_rows ORDER BY row")
        tasks, videos = _integers(rows, "task"), _integers(task_rows, "place")
        facets = self._facets(tasks, len(task_rows), extra_tables)
        asked_texts, spoken_texts = TokenIndex(len(task_rows)), TokenIndex(len(rows))
        lengths = np.zeros(len(rows), np.uint32)
        scores = self._scores(tasks, videos)
        self._fill(asked_texts, "questions", _ASKED, len(task_rows), None)
        candidate_count = int(facets["subject"].having({"candidate"}).sum())
        self._fill(spoken_texts, "thoughts", _SPOKEN, candidate_count, lengths)
        return RowIndex(
            _ids(rows.column("id")), tasks, _ids(self._table("SELECT video FROM browse_videos ORDER BY place").column(0)),
            IndexedTasks(_ids(task_rows.column("id")), task_rows.column("question"), videos, asked_texts),
            facets, scores, lengths, spoken_texts,
        )  # fmt: skip

    def _facets(self, tasks: np.ndarray[Any, Any], task_count: int, extra_tables: Tables) -> dict[str, NamedColumn]:
        row_columns = self._named("SELECT row, state, reason, subject, teacher FROM browse_rows", len(tasks))
        task_columns = self._named("SELECT task, kind, source, split, licence FROM browse_tasks", task_count)
        self.progress("prompts", 0, 1)
        prepare(self.cursor, _PROMPTS, extra_tables)
        columns = {
            **row_columns, **self._named(_PROMPTS, len(tasks)),
            **{name: NamedColumn(column.names, column.codes[tasks]) for name, column in task_columns.items()},
        }  # fmt: skip
        return {name: columns[name] for name in FACETS}

    def _named(self, sql: str, count: int) -> dict[str, NamedColumn]:
        """The columns of names of a query, whose first column says which row or task each is about."""
        reader = self.cursor.sql(sql).to_arrow_reader(BATCH_ROWS)
        builders = {name: NamedColumnBuilder(count) for name in reader.schema.names[1:]}
        for batch in reader:
            places = np.asarray(batch.column(0))
            for name, builder in builders.items():
                builder.add(places, batch.column(name))
        return {name: builder.column() for name, builder in builders.items()}

    def _scores(self, tasks: np.ndarray[Any, Any], videos: np.ndarray[Any, Any]) -> dict[str, ScoreColumn]:
        """Of each filter the lowest score that holds for a row, be it about its candidate, its task or its video."""
        self.progress("scores", 0, 1)
        counts = {"rows": len(tasks), "tasks": len(videos), "videos": int(videos.max(initial=-1)) + 1}
        owners = {"rows": None, "tasks": tasks, "videos": videos[tasks]}
        scores_by_filter: dict[str, np.ndarray[Any, Any]] = {}
        for subject, sql in _SCORES.items():
            # a task's row has its own scores twice: once as a row, once as a task, and they are the same
            for filter_name, scores in self._lowest(sql, counts[subject]).items():
                of_rows = scores if owners[subject] is None else scores[owners[subject]]
                earlier = scores_by_filter.get(filter_name)
                scores_by_filter[filter_name] = of_rows if earlier is None else np.fmin(earlier, of_rows)
        return {
            filter_name: score_column(scores_by_filter.pop(filter_name), self.min_scores.get(filter_name))
            for filter_name in sorted(scores_by_filter)
        }

    def _lowest(self, sql: str, count: int) -> dict[str, np.ndarray[Any, Any]]:
        lowest: dict[str, np.ndarray[Any, Any]] = {}
        for batch in self.cursor.sql(sql).to_arrow_reader(BATCH_ROWS):
            encoded = batch.column("filter").dictionary_encode()
            codes, places, scores = map(np.asarray, (encoded.indices, batch.column("place"), batch.column("score")))
            for code, filter_name in enumerate(encoded.dictionary.to_pylist()):
                if filter_name not in lowest:
                    lowest[filter_name] = np.full(count, np.nan)
                is_of_filter = codes == code
                np.fmin.at(lowest[filter_name], places[is_of_filter], scores[is_of_filter])
        return lowest

    def _fill(self, index: TokenIndex, noun: str, sql: str, count: int, lengths: np.ndarray[Any, Any] | None) -> None:
        """Read texts into an index, and how long each is where that is asked for."""

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in self.cursor.sql(sql).to_arrow_reader(BATCH_ROWS):
                if lengths is not None:
                    lengths[np.asarray(batch.column(0))] = np.asarray(pc.utf8_length(batch.column(1)))
                yield batch

        self.progress(noun, 0, count)
        for done_count in index.fill(batches()):
            self.progress(noun, done_count, count)

    def _table(self, sql: str) -> pa.Table:
        return self.cursor.sql(sql).to_arrow_table()


def _integers(table: pa.Table, column_name: str) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.asarray(table.column(column_name)).astype(np.int32)


def _ids(column: pa.ChunkedArray[Any]) -> IdMatrix:
    return np.ascontiguousarray(id_matrix(column))
