"""How densely must one look? Each offered density is forced on a student; the lowest that does as well as any is enough."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Self

from pydantic import model_validator

from dmforge.curation.contract.stage_results import Rejected, Result
from dmforge.filters.rollouts.rollout_stage import (
    Arm,
    Experiment,
    Fps,
    RolloutStage,
    RolloutStageConfig,
    right_window,
    task_verdict,
)
from dmforge.filters.rollouts.rounds import Share, difference
from dmforge.schemas.looks import Look, print_density
from dmforge.schemas.records import Rollout, Target, Task, TaskWithVideo, Verdict, Video


class DensityConfig(RolloutStageConfig):
    """Which densities are tried, and how much worse still counts as good enough."""

    densities: tuple[Fps, ...] = (Fraction(1), Fraction(2), Fraction(3), Fraction(4), Fraction(6))
    """The densities that are tried, in frames per second."""
    tolerance: Share = 0.1
    """The target is the lowest density whose pass rate is at most this much below the best one."""

    @model_validator(mode="after")
    def _require_ascending(self) -> Self:
        if len(self.densities) < 2 or list(self.densities) != sorted(set(self.densities)):
            raise ValueError("densities must be two or more, in ascending order")
        return self


class Density(RolloutStage[TaskWithVideo, Rollout | Verdict | Target]):
    """One verdict a task, `density_pass`: the pass rate at the density that is enough; and the target with that density, in
    the right window, unless no rollout was right at any density. All densities have the same seeds."""

    name, version = "density", 2
    measures = ("density_pass",)
    config: DensityConfig

    def arms(self, item: TaskWithVideo, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        window = right_window(task)
        if window is None:
            return Rejected("no window is known")
        return [Arm(print_density(fps), Look(window, fps)) for fps in self.config.densities], ""

    def arms_to_continue(self, trial: Experiment) -> Collection[str]:
        """All arms not clearly worse than the best, until the choice has stayed the same for a round."""
        sizes = self.config.rounds.sizes
        if trial.rounds_done > 1 and self.lowest_sufficient(trial) == self.lowest_sufficient(
            trial, sizes[trial.rounds_done - 2]
        ):
            return ()
        best = max((self.tries(trial, name) for name in trial.arms), key=lambda tries: tries.rate)
        tolerance = self.config.tolerance
        gaps = {name: difference(best, self.tries(trial, name), self.confidence) for name in trial.arms}
        return [name for name, gap in gaps.items() if gap.against(tolerance, tolerance) != "above"]

    def lowest_sufficient(self, trial: Experiment, max_tries: int | None = None) -> str | None:
        """The lowest density that does as well as the best one; None where no rollout was ever right."""
        rates = {name: self.tries(trial, name, max_tries).rate for name in trial.arms}
        best = max(rates.values())
        return next(name for name, rate in rates.items() if rate >= best - self.config.tolerance) if best else None

    def conclude(self, trial: Experiment) -> Sequence[Verdict | Target]:
        chosen_arm = self.lowest_sufficient(trial)
        detail = ", ".join(f"{self.tries(trial, arm)} at {arm}" for arm in trial.arms)
        if chosen_arm is None:
            n = max(len(rows) for rows in trial.rollouts.values())
            return [task_verdict(trial, "density_pass", 0.0, n, "right at no density", detail)]
        is_stable = trial.rounds_done > 1 and chosen_arm == self.lowest_sufficient(
            trial, self.config.rounds.sizes[trial.rounds_done - 2]
        )
        tries, look = self.tries(trial, chosen_arm), trial.arms[chosen_arm].look
        verdict = task_verdict(
            trial, "density_pass", tries.rate, tries.n, "stood for a round" if is_stable else "not clear", detail
        )
        return [verdict] if look is None else [verdict, Target(trial.video.id, trial.task.id, look, "replay")]
