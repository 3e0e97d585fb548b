"""How densely must one look? Every density that is offered is forced on a student; the lowest that does as well is enough."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Self

from pydantic import model_validator

from dmforge.curation.settled import Rejected, Result
from dmforge.filters.replaying import Arm, Fps, Replaying, ReplayingConfig, Trial, on_task, right_window
from dmforge.filters.rounds import Share, difference
from dmforge.schemas.looks import Look, print_density
from dmforge.schemas.records import Rollout, Shown, Target, Task, Verdict, Video


class DensityConfig(ReplayingConfig):
    """What is tried, and how much worse is as good."""

    densities: tuple[Fps, ...] = (Fraction(1), Fraction(2), Fraction(3), Fraction(4), Fraction(6))
    """Those that are offered, in frames per second."""
    tolerance: Share = 0.1
    """The lowest density whose pass rate is at most so much below the best one is the target."""

    @model_validator(mode="after")
    def _grow(self) -> Self:
        if len(self.densities) < 2 or list(self.densities) != sorted(set(self.densities)):
            raise ValueError("densities are two or more, and grow")
        return self


class Density(Replaying[Shown, Rollout | Verdict | Target]):
    """One verdict a task, `density_pass`: the pass rate at the density that is enough; and the target with that density, in
    the right window, unless no density was ever enough. All densities have the same seeds."""

    name, version = "density", 2
    measures = ("density_pass",)
    config: DensityConfig

    def arms(self, item: Shown, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        window = right_window(task)
        if window is None:
            return Rejected("no window is known")
        return [Arm(print_density(fps), Look(window, fps)) for fps in self.config.densities], ""

    def wants(self, trial: Trial) -> Collection[str]:
        """Until the choice has stood for a round. What is clearly worse by then is left where it is."""
        sizes = self.config.rounds.sizes
        if trial.rounds > 1 and self.chosen(trial) == self.chosen(trial, sizes[trial.rounds - 2]):
            return ()
        best = max((self.tries(trial, name) for name in trial.arms), key=lambda tries: tries.rate)
        tolerance = self.config.tolerance
        gaps = {name: difference(best, self.tries(trial, name), self.confidence) for name in trial.arms}
        return [name for name, gap in gaps.items() if gap.against(tolerance, tolerance) != "above"]

    def chosen(self, trial: Trial, upto: int | None = None) -> str | None:
        """The lowest density that does as well as the best one; None where none was ever right."""
        rates = {name: self.tries(trial, name, upto).rate for name in trial.arms}
        best = max(rates.values())
        return next(name for name, rate in rates.items() if rate >= best - self.config.tolerance) if best else None

    def found(self, trial: Trial) -> Sequence[Verdict | Target]:
        name = self.chosen(trial)
        told = ", ".join(f"{self.tries(trial, arm)} at {arm}" for arm in trial.arms)
        if name is None:
            n = max(len(rows) for rows in trial.got.values())
            return [on_task(trial, "density_pass", 0.0, n, "right at no density", told)]
        stood = trial.rounds > 1 and name == self.chosen(trial, self.config.rounds.sizes[trial.rounds - 2])
        tries, look = self.tries(trial, name), trial.arms[name].look
        verdict = on_task(trial, "density_pass", tries.rate, tries.n, "stood for a round" if stood else "not clear", told)
        return [verdict] if look is None else [verdict, Target(trial.video.id, trial.task.id, look, "replay")]
