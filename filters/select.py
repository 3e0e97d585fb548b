"""Scores become a corpus: thresholds are applied here and nowhere else, in SQL, so that changing one asks no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import duckdb
import pyarrow as pa
from pydantic import Field

from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Rejected, Result, Settled, settle
from dmforge.curation.stage import Collective, StageConfig
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Candidate, Provenance, Sample, Task, Verdict

Said = Literal["source", "licence", "terms", "split", "video_source", "video_licence", "video_terms"]
CHUNK = 10_000
"""Candidates that are settled at a time."""
JUDGED = """
WITH subjects AS (
    SELECT id AS candidate, unnest([id, task, video]) AS subject FROM candidates
), measured AS (
    SELECT s.candidate, v.filter, min(v.score) AS score FROM subjects s JOIN verdicts v ON v.subject = s.subject GROUP BY ALL
), failed AS (
    SELECT c.id, arg_min({'filter': l.filter, 'score': m.score, 'least': l.least}, l.position) AS first
    FROM candidates c CROSS JOIN least l LEFT JOIN measured m ON m.candidate = c.id AND m.filter = l.filter
    WHERE m.score IS NULL OR m.score < l.least
    GROUP BY c.id
), ranked AS (
    SELECT c.id, row_number() OVER (PARTITION BY c.task ORDER BY c.attempt, c.id) AS place
    FROM candidates c ANTI JOIN failed f ON f.id = c.id
)
SELECT c.id, c.video, c.task, f.first.filter, f.first.score, f.first.least, r.place,
    {'source': t.source, 'licence': t.licence, 'terms': t.terms, 'split': t.split, 'video_source': p.source,
     'video_licence': p.licence, 'video_terms': p.terms, 'role': p.role} AS said
FROM candidates c JOIN tasks t ON t.id = c.task LEFT JOIN provenances p ON p.video = c.video
    LEFT JOIN failed f ON f.id = c.id LEFT JOIN ranked r ON r.id = c.id
ORDER BY c.video, c.id
"""


class SelectCotConfig(StageConfig):
    """What a candidate needs to be kept."""

    corpus: str = Field("cot", pattern="^[a-z][a-z0-9_-]*$")
    """The name of the corpus."""
    least: dict[str, float] = Field(default_factory=dict)
    """Filter -> the least score. The first that a candidate misses, in the order of the alphabet, is its reason."""
    only: dict[Said, list[str]] = Field(default_factory=dict[Said, list[str]])
    """What is kept by where it comes from: `licence = ["CC0-1.0"]`. Of the annotation, or of the video with `video_`."""


class SelectCot(Collective[Candidate, Sample]):
    """Candidates to samples: those that pass every threshold, the earliest attempt of each task."""

    name, version = "select_cot", 3
    config: SelectCotConfig
    also_reads = (Task, Verdict, Provenance)

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        # not in the recipe's order: that is no part of the work key
        names = sorted(self.config.least)
        least = [self.config.least[name] for name in names]
        connection = view.connection.cursor()
        _refuse_unknown(connection, names)
        table = pa.table({"filter": pa.array(names, pa.string()), "least": pa.array(least, pa.float64())})
        connection.register("least", table.append_column("position", pa.array(range(len(names)), pa.int64())))
        for batch in connection.sql(JUDGED).to_arrow_reader(CHUNK):
            rows = batch.to_pylist()
            keys = [Key(row["id"], row["video"]) for row in rows]
            results = [self._result(**row) for row in rows]
            yield settle(origin, keys, results, self.makes)

    def _result(
        self,
        id: bytes,
        video: bytes,
        task: bytes,
        filter: str | None,
        score: float | None,
        least: float,
        place: int | None,
        said: dict[str, str],
    ) -> Result:
        if said["role"] == "benchmark":
            return Rejected("its video is a benchmark's")
        for name, wanted in sorted(self.config.only.items()):
            if said[name] not in wanted:
                return Rejected(f"not wanted: {name}", said[name])
        if filter is not None and score is None:
            return Rejected(f"no score: {filter}", "no filter of the recipe has measured it")
        if filter is not None:
            return Rejected(f"below threshold: {filter}", f"{score:.3f} < {least:g}")
        if place != 1:
            return Rejected("another candidate of the task was kept")
        return Made((Sample(video, self.config.corpus, task, id, None, None),))


def _refuse_unknown(connection: duckdb.DuckDBPyConnection, names: list[str]) -> None:
    """A threshold on what no filter measures would reject everything."""
    known = [row[0] for row in connection.execute("SELECT DISTINCT filter FROM verdicts").fetchall()]
    for name in names:
        if known and name not in known:
            raise InputError(f"no filter measures {name!r}", where="[stages.select_cot.least]", mend=nearest(name, known))
