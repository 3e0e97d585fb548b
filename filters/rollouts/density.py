"""How densely must one look? Each offered density is forced on a student; the lowest that does as well as any is enough."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Self

from pydantic import model_validator

from dmforge.curation.contract.stage_results import Rejected, Result
from dmforge.filters.rollouts.experiment import Arm, Experiment
from dmforge.filters.rollouts.rollout_stage import Fps, RolloutStage, RolloutStageConfig, right_window, task_verdict
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
    forces_a_look = True
    measures = ("density_pass",)
    config: DensityConfig

    def arms(self, item: TaskWithVideo, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        task_window = right_window(task)
        if task_window is None:
            return Rejected("no window is known")
        return [Arm(print_density(fps), Look(task_window, fps)) for fps in self.config.densities], ""

    def arms_to_continue(self, trial: Experiment) -> Collection[str]:
        """All arms not clearly worse than the best, until the choice has stayed the same for a round."""
        round_sizes = self.config.rounds.sizes
        if trial.rounds_done > 1 and self.lowest_sufficient(trial) == self.lowest_sufficient(
            trial, round_sizes[trial.rounds_done - 2]
        ):
            return ()
        best_tries = max((self.tries(trial, arm_name) for arm_name in trial.arms), key=lambda arm_tries: arm_tries.rate)
        rate_tolerance = self.config.tolerance
        gap_by_arm = {arm_name: difference(best_tries, self.tries(trial, arm_name), self.confidence) for arm_name in trial.arms}
        return [
            arm_name
            for arm_name, gap_to_best in gap_by_arm.items()
            if gap_to_best.against(rate_tolerance, rate_tolerance) != "above"
        ]

    def lowest_sufficient(self, trial: Experiment, max_tries: int | None = None) -> str | None:
        """The lowest density that does as well as the best one; None where no rollout was ever right."""
        rate_by_arm = {arm_name: self.tries(trial, arm_name, max_tries).rate for arm_name in trial.arms}
        best_rate = max(rate_by_arm.values())
        return (
            next(arm_name for arm_name, arm_rate in rate_by_arm.items() if arm_rate >= best_rate - self.config.tolerance)
            if best_rate
            else None
        )

    def conclude(self, trial: Experiment) -> Sequence[Verdict | Target]:
        chosen_arm = self.lowest_sufficient(trial)
        tries_detail = ", ".join(f"{self.tries(trial, arm_name)} at {arm_name}" for arm_name in trial.arms)
        if chosen_arm is None:
            max_rollouts = max(len(arm_rollouts) for arm_rollouts in trial.rollouts.values())
            return [task_verdict(trial, "density_pass", 0.0, max_rollouts, "right at no density", tries_detail)]
        is_stable = trial.rounds_done > 1 and chosen_arm == self.lowest_sufficient(
            trial, self.config.rounds.sizes[trial.rounds_done - 2]
        )
        chosen_tries, chosen_look = self.tries(trial, chosen_arm), trial.arms[chosen_arm].look
        verdict = task_verdict(
            trial,
            "density_pass",
            chosen_tries.rate,
            chosen_tries.n,
            "stood for a round" if is_stable else "not clear",
            tries_detail,
        )
        return [verdict] if chosen_look is None else [verdict, Target(trial.video.id, trial.task.id, chosen_look, "replay")]
