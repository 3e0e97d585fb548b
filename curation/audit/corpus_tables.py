"""A workspace as it is compared: questions, trajectories and looks that it kept, or all where it kept none; all scores."""

from __future__ import annotations

import pyarrow as pa

from dmforge.curation.audit import query
from dmforge.curation.audit.compared_corpora import CorpusTables
from dmforge.curation.audit.quantities import LOOKS, QUESTIONS, SCORES, TRAJECTORIES
from dmforge.curation.contract.collective import View
from dmforge.curation.lake.views import interruptible

TABLES_READ = "samples tasks candidates videos choices verdicts"
_QUESTIONS = """
SELECT t.video, v.duration_cs, t.task_kind AS kind, t.source, coalesce(v.licence, 'unknown') AS licence, t.split, t.question,
    t.answer, len(t.options) AS options, c."right", t.windows
FROM tasks t LEFT JOIN videos v ON v.id = t.video LEFT JOIN choices c ON c.id = t.id
"""
_TRAJECTORIES = """
SELECT c.video, v.duration_cs, len(c.looks) AS looks, list_sum(list_transform(
    list_filter(c.transcript.pieces, lambda piece: piece.author = 'policy'),
    lambda piece: len(regexp_extract_all(piece.text, '\\S+')))) AS words, c.window_source
FROM candidates c LEFT JOIN videos v ON v.id = c.video
"""
_LOOKS = """
SELECT c.video, v.duration_cs, c.look."window".start_cs AS start_cs, c.look."window".end_cs AS end_cs,
    c.look.fps.num / c.look.fps.den AS fps
FROM (SELECT id, video, unnest(looks) AS look FROM candidates) c LEFT JOIN videos v ON v.id = c.video
"""
_SCORES = "SELECT video, filter, score FROM verdicts"
_KEPT_TASKS = "SEMI JOIN samples s ON s.task = t.id"
_KEPT_CANDIDATES = "SEMI JOIN samples s ON s.candidate = c.id"


def workspace_tables(view: View, name: str) -> CorpusTables:
    """What is compared of a workspace."""
    cursor = view.cursor(query.with_words(TABLES_READ))
    query.prepare(cursor, TABLES_READ, {})
    with interruptible():
        is_selected = bool(cursor.execute("SELECT 1 FROM samples LIMIT 1").fetchall())
        of_tasks, of_candidates = (_KEPT_TASKS, _KEPT_CANDIDATES) if is_selected else ("", "")

        def rows(sql: str, schema: pa.Schema) -> pa.Table:
            return cursor.sql(sql).to_arrow_table().cast(schema)

        return CorpusTables(
            name,
            rows(_QUESTIONS + of_tasks, QUESTIONS),
            rows(_TRAJECTORIES + of_candidates, TRAJECTORIES),
            rows(_LOOKS + of_candidates, LOOKS),
            rows(_SCORES, SCORES),
        )
