"""What was kept, as tables for checks: samples with their scores, their answers held against gold, copies of their videos.

Each is a temporary table of one cursor. Its `tasks` are those of the samples alone: named questions can be asked of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import duckdb
import pyarrow as pa

from dmforge.curation.audit import query
from dmforge.curation.contract.collective import View
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import ID_BYTES, read
from dmforge.schemas.looks import read_span
from dmforge.schemas.records import Task
from dmforge.schemas.scoring import answer_score

TABLES_READ = "samples candidates tasks videos verdicts"
BATCH_ROWS = 20_000
"""Answers that are scored at once."""
VIDEO_ID = re.compile(r"\bvideo_[a-z2-7]{26}\b")

_KEPT = """
CREATE TEMP TABLE kept AS
SELECT s.id, s.corpus, s.video, s.task, s.candidate, t.split, coalesce(v.licence, 'unknown') AS licence,
    concat_ws(' ', v.licence, v.terms, t.licence, t.terms) AS rights
FROM samples s LEFT JOIN tasks t ON t.id = s.task LEFT JOIN videos v ON v.id = s.video;
CREATE TEMP TABLE split_videos AS SELECT DISTINCT video, split FROM tasks WHERE split <> '';
CREATE TEMP TABLE kept_tasks AS SELECT * FROM tasks t SEMI JOIN kept k ON k.task = t.id;
CREATE TEMP VIEW tasks AS FROM kept_tasks;
"""
# all verdicts that hold for a sample are about its video; of several of one name the lowest counts
_SCORES = """
CREATE TEMP TABLE kept_scores AS
WITH subjects AS (SELECT id, video, unnest([candidate, task, video]) AS subject FROM kept)
SELECT k.id, v.filter, min(v.score) AS score
FROM subjects k JOIN verdicts v ON v.subject = k.subject AND v.video = k.video SEMI JOIN least l ON l.filter = v.filter
GROUP BY k.id, v.filter
"""
_UNSCORED = """
SELECT k.id AS sample, c.answer AS reply, t.*
FROM kept k JOIN candidates c ON c.id = k.candidate JOIN tasks t ON t.id = k.task
    ANTI JOIN (SELECT id FROM kept_scores WHERE filter = 'answer') s ON s.id = k.id
WHERE trim(t.answer) <> '' OR len(t.windows) > 0 AND t.task_kind = 'grounding'
"""
_COPIES = "SELECT video, detail FROM verdicts WHERE filter = 'original' AND score < 1"
SAMPLE_SCORES = pa.schema([("id", pa.binary(ID_BYTES)), ("score", pa.float64())])
COPIES = pa.schema([("video", pa.binary(ID_BYTES)), ("original", pa.binary(ID_BYTES))])
SPANS = pa.schema([("source", pa.string()), ("kind", pa.string()), ("start_cs", pa.int64()), ("end_cs", pa.int64())])


def kept_rows(view: View, min_scores: Mapping[str, float]) -> duckdb.DuckDBPyConnection:
    """A cursor with `kept`, `least` (the lowest good score of each filter), `kept_scores` of these filters, `answered`,
    `copies`, `split_videos` of all tasks, and `constants`: one span for each source and kind."""
    shortcuts_sql = query.COMMENT.sub("", query.query("shortcuts").sql)
    cursor = view.cursor(f"{TABLES_READ} {query.with_words(shortcuts_sql)}")
    cursor.execute(_KEPT)
    query.prepare(cursor, shortcuts_sql, {})
    cursor.register("least", pa.table({"filter": list(min_scores), "least": list(min_scores.values())}))
    cursor.execute(_SCORES)
    cursor.register("scored_here", _scored_answers(cursor))
    cursor.execute(
        "CREATE TEMP TABLE answered AS SELECT id, score FROM kept_scores WHERE filter = 'answer' UNION ALL FROM scored_here"
    )
    cursor.register("copies", video_copies(cursor))
    cursor.register("constants", _constant_spans(cursor, shortcuts_sql))
    return cursor


def _scored_answers(cursor: duckdb.DuckDBPyConnection) -> pa.Table:
    """Kept answers that no filter has measured, held against the gold of their tasks."""
    scored_batches: list[pa.RecordBatch] = []
    for batch in cursor.sql(_UNSCORED).to_arrow_reader(BATCH_ROWS):
        replies = batch.column("reply").to_pylist()
        scores = [answer_score(reply, task) for reply, task in zip(replies, from_arrow(Task, batch), strict=True)]
        columns = [batch.column("sample").cast(pa.binary(ID_BYTES)), pa.array(scores, pa.float64())]
        scored_batches.append(pa.record_batch(columns, schema=SAMPLE_SCORES))
    return pa.Table.from_batches(scored_batches, SAMPLE_SCORES)


def video_copies(cursor: duckdb.DuckDBPyConnection) -> pa.Table:
    """Videos that are copies, each with the one that stands for all of them."""
    copies = [
        {"video": video, "original": read(match.group())[1]}
        for video, detail in cursor.execute(_COPIES).fetchall()
        if (match := VIDEO_ID.search(detail)) is not None
    ]
    return pa.Table.from_pylist(copies, COPIES)


def _constant_spans(cursor: duckdb.DuckDBPyConnection, shortcuts_sql: str) -> pa.Table:
    """The span of time that meets the windows of all kept tasks best, for each source and kind."""
    spans = [
        {"source": source, "kind": kind, "start_cs": span_cs[0], "end_cs": span_cs[1]}
        for shortcut, source, kind, _, _, _, which in cursor.execute(shortcuts_sql).fetchall()
        if shortcut == "constant span" and (span_cs := read_span(which)) is not None
    ]
    return pa.Table.from_pylist(spans, SPANS)
