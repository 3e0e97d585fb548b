"""How much may be wrong with a corpus before an audit asks for a look at it, or stops: defaults, and how a recipe changes them.

Nothing here makes work anew: checks read what was kept, and keep or reject nothing themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from dmforge.schemas.config import Config

MIN_SCORES: Mapping[str, float] = {
    "answer": 0.7, "answer_form": 1.0, "blind": 0.5, "cited_inside": 1.0, "cited_stamps": 1.0, "clean": 1.0, "crosscheck": 0.5,
    "density": 1.0, "evidence": 0.5, "frames": 1.0, "grammar": 1.0, "human": 1.0, "idle_look": 1.0, "language": 1.0,
    "length": 1.0, "overlap_looks": 0.5, "own_span": 0.05, "repetition": 0.7, "safe": 0.9, "silent": 1.0, "unguessed": 1.0,
    "unique": 0.45, "unleaked": 1.0, "window": 1.0,
}  # fmt: skip
"""Filter -> the least score that a kept sample should have: of the recipes that come with dmforge, the mildest threshold. What
depends on the student (`vouch`, say) is left out, and `original`: a haystack is nearly a copy of its host by design."""


class _Bounds(Config):
    look: float | None
    stop: float | None

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.look is not None and self.stop is not None and self.stop < self.look:
            raise ValueError(f"stop = {self.stop:g} lies below look = {self.look:g}: more is needed to stop than to look")
        return self


class Limit(_Bounds):
    """A share of what was kept. What is left out never comes: with `look` alone nothing stops, an empty table only counts."""

    look: Annotated[float, Field(ge=0, le=1)] | None = None
    """The largest share that needs no look."""
    stop: Annotated[float, Field(ge=0, le=1)] | None = None
    """The largest share that stops nobody."""


class CostLimit(_Bounds):
    """US dollars for each kept sample. What is left out never comes."""

    look: Annotated[float, Field(ge=0)] | None = None
    """The most that needs no look."""
    stop: Annotated[float, Field(ge=0)] | None = None
    """The most that stops nobody."""


def _limit(look: float, stop: float | None) -> Limit:
    return Field(default=Limit(look=look, stop=stop))


class Checks(Config):
    """What `dmforge audit checks` and the head of the report decide by. A given table takes the place of its default."""

    wrong_answers: Limit = _limit(0.01, 0.05)
    """Kept trajectories whose answer is wrong: by `answer`, and where that was not measured, held against gold here."""
    guesses: Limit = _limit(0.02, 0.1)
    """Kept trajectories that say that they guess: `unguessed`."""
    leaks: Limit = _limit(0.01, 0.05)
    """Kept trajectories that speak of an answer that they were given: `unleaked`."""
    failing_filters: Limit = _limit(0.02, 0.1)
    """Kept samples with a score below `min_score` of any filter that has no check of its own."""
    answer_letters: Limit = _limit(0.05, 0.15)
    """How much oftener than by chance the commonest option is right, beyond twice the standard error."""
    edge_windows: Limit = _limit(0.4, 0.7)
    """Kept trajectories whose first look touches the beginning or the end of the video."""
    answered_blind: Limit = _limit(0.2, 0.5)
    """Kept samples whose question is answered from the text alone: `blind`."""
    longest_option: Limit = _limit(0.1, 0.25)
    """How much oftener than by chance the longest option is right, beyond twice the standard error."""
    constant_span: Limit = _limit(0.5, 0.8)
    """Kept samples whose window one and the same span of time meets by half, IoU: the best for each source and kind."""
    across_splits: Limit = _limit(0.0, 0.0)
    """Kept samples whose video, or a copy of it, stands in another split as well."""
    contamination: Limit = _limit(0.0, 0.0)
    """Kept samples whose video a benchmark has: `clean`."""
    unknown_licences: Limit = _limit(0.0, 0.1)
    """Kept samples whose video is under an unknown licence."""
    restricted_licences: Limit = _limit(0.0, None)
    """Kept samples of a video or a question whose licence or terms name a limit: no commerce, no changes, research only."""
    missing_measurements: Limit = _limit(0.0, 0.1)
    """Kept trajectories without `grammar`, `unguessed` or `unleaked`, or whose answer can be told neither right nor wrong."""
    cost_per_sample: CostLimit = CostLimit()
    """What a kept sample cost in answers of teachers, in US dollars. Whoever pays says what is too much."""
    min_score: dict[str, Annotated[float, Field(ge=-1, le=1)]] = Field(default_factory=dict)
    """Filter -> the least score that a kept sample should have, over the defaults; -1 asks for nothing."""

    @property
    def min_scores(self) -> Mapping[str, float]:
        """The least score of every filter."""
        return {**MIN_SCORES, **self.min_score}
