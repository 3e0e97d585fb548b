"""Is a candidate's form sound? Grammar, window and density are measured on the text alone; no model is asked."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from pydantic import PositiveInt

from dmforge.curation.settled import Made, Result
from dmforge.curation.stage import Batch, StageConfig
from dmforge.schemas.grammar import Trajectory, trajectory_of
from dmforge.schemas.looks import Window, print_density, print_seconds, print_span
from dmforge.schemas.records import Attempt, Candidate, Verdict
from dmforge.schemas.scoring import measure_cs, overlap_cs


class RulesConfig(StageConfig):
    """What is allowed."""

    densities: tuple[PositiveInt, ...] = (1, 2, 3, 4, 6)
    """Frames per second that a look may ask for."""
    max_looks: PositiveInt = 1
    """Most looks of a trajectory."""


class Rules(Batch[Attempt, Verdict]):
    """Three verdicts a candidate: `grammar`, `window` and `density`, each between 0 and 1."""

    name, version = "rules", 1
    config: RulesConfig

    def process(self, items: Iterator[Attempt]) -> Iterator[Result]:
        for item in items:
            candidate = item.candidate
            duration_cs = item.video.duration_cs if item.video else 0
            yield Made((self._grammar(candidate), _window(candidate, duration_cs), self._density(candidate)))

    def _grammar(self, candidate: Candidate) -> Verdict:
        """1 for a text that the grammar accepts, with a look; 0 and the first defect for any other."""
        found = trajectory_of(candidate.transcript, self.config.max_looks)
        if not isinstance(found, Trajectory):
            return _verdict(candidate, "grammar", 0.0, found[0].rule, found[0].message)
        if not found.looks:
            return _verdict(candidate, "grammar", 0.0, "no look")
        if not all(thought.strip() for thought in found.thoughts):
            return _verdict(candidate, "grammar", 0.0, "empty thought")
        return _verdict(candidate, "grammar", 1.0)

    def _density(self, candidate: Candidate) -> Verdict:
        """The share of looks whose density is an allowed one."""
        odd = [look.fps for look in candidate.looks if look.fps not in self.config.densities]
        score = 1 - Fraction(len(odd), len(candidate.looks)) if candidate.looks else 0
        return _verdict(
            candidate, "density", float(score), "density not offered" if odd else "", " ".join(map(print_density, odd))
        )


def _window(candidate: Candidate, duration_cs: int) -> Verdict:
    """The share of what is looked at that lies inside the video."""
    windows = tuple(look.window for look in candidate.looks)
    if not windows or duration_cs <= 0:
        return _verdict(candidate, "window", 0.0, "no window")
    inside = Fraction(overlap_cs(windows, (Window(0, duration_cs),)), measure_cs(windows))
    if inside == 1:
        return _verdict(candidate, "window", 1.0)
    detail = f"{', '.join(map(print_span, windows))} in a video of {print_seconds(duration_cs)} s"
    return _verdict(candidate, "window", float(inside), "past the end", detail)


def _verdict(candidate: Candidate, rule: str, score: float, reason: str = "", detail: str = "") -> Verdict:
    return Verdict(candidate.video, candidate.id, "candidate", rule, score, 1, reason, detail)
