"""Scores become a corpus. Thresholds are applied here and nowhere else, in SQL, so that changing one costs no model call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, PositiveInt

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import StageConfig
from dmforge.curation.contract.stage_results import Made, Origin, Rejected, Result, StageResults
from dmforge.filters.selection.selection import RANGE_SUBJECTS, Dimension, Said, Score, Selection, SelectionRules, let_through
from dmforge.schemas.config import Formerly
from dmforge.schemas.records import Candidate, Provenance, Sample, Task, Verdict, Video

_DECISIONS = """
WITH misses AS (
    SELECT o.id, o.video, unnest([o.id, o.task, o.video]) AS subject, n.filter, n.least
    FROM verdict_of o JOIN named n ON n.bit = o.failed & -o.failed
), worst AS (
    SELECT m.id, arg_min({'score': v.score, 'least': m.least, 'reason': v.reason, 'detail': v.detail}, (v.score, v.id)) AS why
    FROM misses m JOIN verdicts v ON v.subject = m.subject AND v.filter = m.filter AND v.video = m.video
    WHERE v.video >= $low AND v.video < $high
    GROUP BY m.id
)
SELECT o.id, o.video, o.task, o.reason, o.detail, w.why.score, w.why.least AS min_score, w.why.reason AS verdict_reason,
    w.why.detail AS verdict_detail
FROM verdict_of o LEFT JOIN worst w ON w.id = o.id
ORDER BY o.video, o.id
"""


class SelectCotConfig(StageConfig):
    """What a candidate needs to be kept, which of a task's, and how many in all."""

    corpus: str = Field("cot", pattern="^[a-z][a-z0-9_-]*$")
    """The name of the corpus."""
    min_score: Annotated[dict[str, Score], Formerly("least")] = Field(default_factory=dict)
    """Filter -> the least score. The first one that a candidate misses, in alphabetical order, is its reason; a score that
    hasn't been measured leaves it undetermined."""
    min_score_if_present: Annotated[dict[str, Score], Formerly("least_if_measured")] = Field(default_factory=dict)
    """The same for filters that measure only some candidates, as people do: a candidate that they haven't measured passes."""
    only: dict[Said, list[str]] = Field(default_factory=dict[Said, list[str]])
    """What is kept by its origin: `licence = ["CC0-1.0"]`. Of the annotation, or of the video with `video_`."""
    order: tuple[str, ...] = ()
    """Filters by which the best candidate of a task is chosen, the highest score first; then the earliest attempt."""
    caps: dict[Dimension, PositiveInt] = Field(default_factory=dict[Dimension, int])
    """The most that are kept of each `video`, `kind`, `source`, `duration` (0 to 15 s, to 30 s, to 60 s, ...) or `density`."""
    balance: dict[Dimension, Annotated[float, Field(ge=1)]] = Field(default_factory=dict[Dimension, float])
    """The most that are kept of each, as a multiple of what there is of the rarest: `kind = 2.0`. Applied after caps."""

    def requirements(self) -> SelectionRules:
        return SelectionRules(
            self.min_score, self.only, self.order, self.caps, self.balance, min_scores_if_measured=self.min_score_if_present
        )


class SelectCot(Collective[Candidate, Sample]):
    """Candidates to samples: those that pass every threshold, the best of each task, up to the caps."""

    name, version = "select_cot", 4
    config: SelectCotConfig
    also_reads = (Task, Verdict, Provenance, Video)

    def asked_scores(self) -> frozenset[str]:
        return self.config.requirements().filters

    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        connection = view.connection.cursor()
        video_ranges = view.ranges(Candidate, RANGE_SUBJECTS)
        selection = Selection(connection, self.config.requirements(), video_ranges, candidates_sql=let_through(view))
        yield from selection.settled(_DECISIONS, origin, self._result, self.makes)

    def _result(
        self,
        id: bytes,
        video: bytes,
        task: bytes,
        reason: str | None,
        detail: str,
        score: float | None,
        min_score: float | None,
        verdict_reason: str | None,
        verdict_detail: str | None,
    ) -> Result:
        if reason is None:
            return Made((Sample(video, self.config.corpus, task, id, None, None),))
        if reason.startswith("below threshold") and score is not None:
            rejection_detail = ": ".join(verdict_text for verdict_text in (verdict_reason, verdict_detail) if verdict_text)
            return Rejected(reason, f"{score:.3f} < {min_score:g}" + (f": {rejection_detail}" if rejection_detail else ""))
        return Rejected(reason, detail)
