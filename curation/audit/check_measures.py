"""What each check counts, as SQL over what was kept: a row a sample, whether it fails, and how badly.

`chance` is how often the same would come by itself: what is held against the threshold is then what lies beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OWN_CHECKS = ("answer", "blind", "clean", "unguessed", "unleaked")
"""Filters that have checks of their own."""
REQUIRED = ("grammar", "unguessed", "unleaked")
"""Filters that cost nothing, and without which a trajectory was not judged."""
RESTRICTED = r"\b(nc|nd|non[- ]?commercial|no[- ]?deriv\w*|research|academic|education\w*)\b"
"""Words of licences and terms that allow less than anything: CC-BY-NC-4.0, research only."""
EDGE_CS = 10
"""Hundredths of a second from the beginning or the end of a video that still count as its edge."""
MET = 0.5
"""The IoU from which a span meets a window."""
FAILING = f"""
SELECT s.filter, count(*) FILTER (s.score < l.least) AS samples, any_value(l.least), count(*) = (SELECT count(*) FROM kept)
FROM kept_scores s JOIN least l ON l.filter = s.filter
WHERE s.filter NOT IN {OWN_CHECKS} GROUP BY s.filter HAVING samples > 0 ORDER BY samples DESC, s.filter
"""
"""Filters that kept samples fail: how many do, the score that they miss, and whether every sample was measured."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One check's question: what is counted, the SQL that tells it, and what to do where it is too much."""

    about: str
    rows_sql: str
    """`id`, `fails`, `rank` (the worst first), and `chance` where there is one."""
    hint: str = ""
    """What to do; where it rests on a filter, what to do if that measured nothing."""
    filter: str = ""
    """The filter that it rests on, where that is one: to ask for its score is what helps."""

    def advice(self, min_scores: Mapping[str, float], *, is_measured: bool) -> str:
        """What to do where it is too much, or where nothing was measured."""
        if not self.filter or (self.hint and not is_measured):
            return self.hint
        threshold = f"{self.filter} = {float(min_scores[self.filter])}"
        sweep = f"dmforge select CORPUS --sweep {self.filter}"
        return f"put `{threshold}` under [stages.select_cot.min_score]; `{sweep}` says what goes"


def _below(filter_name: str) -> str:
    """The samples that a filter has measured; the name is our own."""
    return f"""
        SELECT s.id, s.score < l.least AS fails, s.score AS rank FROM kept_scores s JOIN least l ON l.filter = s.filter
        WHERE s.filter = '{filter_name}'
    """


MEASURES = {
    "wrong_answers": Measure(
        "wrong answers",
        "SELECT a.id, a.score < l.least AS fails, a.score AS rank FROM answered a JOIN least l ON l.filter = 'answer'",
        filter="answer",
    ),
    "guesses": Measure("answers that were guessed, as they say", _below("unguessed"), filter="unguessed"),
    "leaks": Measure("thoughts that speak of a given answer", _below("unleaked"), filter="unleaked"),
    "failing_filters": Measure(
        "samples that fail another filter",
        f"""
        SELECT s.id, bool_or(s.score < l.least) AS fails, min(s.score - l.least) AS rank
        FROM kept_scores s JOIN least l ON l.filter = s.filter WHERE s.filter NOT IN {OWN_CHECKS} GROUP BY s.id
        """,
    ),
    "answer_letters": Measure(
        "right options that are the commonest letter, beyond chance",
        """
        WITH lettered AS (
            SELECT k.id, c.options, c."right", count(*) OVER (PARTITION BY c.options, c."right") AS n
            FROM kept k JOIN choices c ON c.id = k.task WHERE c."right" IS NOT NULL AND c.options > 1
        )
        SELECT id, "right" = first_value("right") OVER (PARTITION BY options ORDER BY n DESC, "right") AS fails, 0 AS rank,
            1 / options AS chance
        FROM lettered
        """,
        "shuffle the options where they come from; `dmforge audit balance` has the counts",
    ),
    "edge_windows": Measure(
        "first looks that touch the beginning or the end of the video",
        f"""
        SELECT k.id, c.looks[1]."window".start_cs <= {EDGE_CS}
            OR c.looks[1]."window".end_cs >= v.duration_cs - {EDGE_CS} AS fails,
            c.looks[1]."window".start_cs - c.looks[1]."window".end_cs AS rank
        FROM kept k JOIN candidates c ON c.id = k.candidate JOIN videos v ON v.id = k.video WHERE len(c.looks) > 0
        """,
        "`dmforge audit windows` says where they lie",
    ),
    "answered_blind": Measure(
        "questions that are answered without the video", _below("blind"),
        "`[stages.blind]` measures it, by a student of yours: docs/judging.md", filter="blind",
    ),
    "longest_option": Measure(
        "right options that are the longest, beyond chance",
        """
        SELECT k.id, c."right" = c.longest AS fails, 0 AS rank, 1 / c.options AS chance
        FROM kept k JOIN choices c ON c.id = k.task WHERE c."right" IS NOT NULL AND c.options > 1
        """,
        "`dmforge audit shortcuts` says of which source; reword the options, or leave the source out",
    ),
    "constant_span": Measure(
        "windows that one constant span meets by half",
        f"""
        WITH scored AS (
            SELECT k.id, window_score(t.windows, t.needs, c.start_cs, c.end_cs) AS score
            FROM kept k JOIN tasks t ON t.id = k.task JOIN constants c ON c.source = t.source AND c.kind = t.task_kind
            WHERE len(t.windows) > 0
        )
        SELECT id, score >= {MET} AS fails, -score AS rank FROM scored
        """,
        "`dmforge audit shortcuts` says of which source: its windows lie too much alike",
    ),
    "across_splits": Measure(
        "samples whose video, or a copy of it, stands in two splits",
        """
        WITH filmed AS (
            SELECT DISTINCT coalesce(c.original, t.video) AS film, t.split
            FROM split_videos t LEFT JOIN copies c ON c.video = t.video
        ), spread AS (
            SELECT film FROM filmed GROUP BY film HAVING count(*) > 1
        )
        SELECT k.id, s.film IS NOT NULL AS fails, 0 AS rank
        FROM kept k LEFT JOIN copies c ON c.video = k.video LEFT JOIN spread s ON s.film = coalesce(c.original, k.video)
        WHERE k.split <> ''
        """,
        "`dmforge audit near_clusters` shows which; `dmforge forget VIDEO...` takes those of one split out of the workspace",
    ),
    "contamination": Measure(
        "samples whose video a benchmark has", _below("clean"),
        "`[stages.contamination]` measures it, once `dmforge import` has brought a benchmark's list", filter="clean",
    ),
    "unknown_licences": Measure(
        "samples whose video is under an unknown licence",
        "SELECT id, trim(licence) IN ('', 'unknown') AS fails, 0 AS rank FROM kept",
        "say it when they are brought, --licence; or keep those that are known, `only = { video_licence = [...] }`",
    ),
    "restricted_licences": Measure(
        "samples whose licence or terms name a limit: no commerce, no changes, research only",
        f"SELECT id, regexp_matches(lower(rights), '{RESTRICTED}') AS fails, 0 AS rank FROM kept",
        "whether they may be used is for you to say: `dmforge forget --source NAME` takes a source out, "
        "`only = { video_licence = [...] }` keeps the licences it names",
    ),
    "missing_measurements": Measure(
        "trajectories that were not measured",
        f"""
        WITH held AS (SELECT id, count(*) AS n FROM kept_scores WHERE filter IN {REQUIRED} GROUP BY id)
        SELECT k.id, a.id IS NULL OR coalesce(h.n, 0) < {len(REQUIRED)} AS fails, coalesce(h.n, 0) AS rank
        FROM kept k LEFT JOIN answered a ON a.id = k.id LEFT JOIN held h ON h.id = k.id WHERE k.candidate IS NOT NULL
        """,
        "put [stages.rules], [stages.citations] and [stages.verify] into the recipe, and `dmforge run`",
    ),
}  # fmt: skip
"""By the name of its limit in `[checks]`."""
