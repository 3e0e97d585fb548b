"""The bounds that the selections of a recipe set on scores: by them a verdict fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dmforge.curation.contract.stage import AnyStage
from dmforge.schemas.records import Candidate, Sample


@dataclass(frozen=True, slots=True)
class Bound:
    """What a selection asks of one score."""

    stage: str
    filter: str
    min_score: float | None
    max_score: float | None
    judges_candidates: bool
    """Whether verdicts on candidates count: of a selection of tasks, only those on tasks and videos do."""

    def missed_by(self, verdict: Mapping[str, Any]) -> str:
        """How a verdict fails it, `below 0.9 of select_cot`; empty if it doesn't."""
        if verdict["filter"] != self.filter or (verdict["subject_kind"] == Candidate.kind and not self.judges_candidates):
            return ""
        if self.min_score is not None and verdict["score"] < self.min_score:
            return f"below {self.min_score:g} of {self.stage}"
        if self.max_score is not None and verdict["score"] > self.max_score:
            return f"above {self.max_score:g} of {self.stage}"
        return ""


def bounds(stages: Iterable[AnyStage]) -> Iterator[Bound]:
    """Every bound that a recipe's selections set."""
    for stage in stages:
        if Sample in stage.makes:
            settings = stage.config.model_dump()
            min_scores = {**settings.get("min_score_if_present", {}), **settings.get("min_score", {})}
            max_scores = settings.get("max_score", {})
            for filter_name in sorted({*min_scores, *max_scores}):
                judges_candidates = stage.reads is Candidate
                yield Bound(
                    stage.name, filter_name, min_scores.get(filter_name), max_scores.get(filter_name), judges_candidates
                )


def missed(verdict: Mapping[str, Any], recipe_bounds: Sequence[Bound]) -> list[str]:
    """Each way in which a verdict fails."""
    return [missed_text for bound in recipe_bounds if (missed_text := bound.missed_by(verdict))]
