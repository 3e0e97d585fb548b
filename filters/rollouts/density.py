"""How densely must one look? Each offered density is forced on a student; the lowest that does as well as any is enough.

Where several windows are looked at one after the other, that of the first look is found while the others are as dense as is
offered, then that of the second with the first one's, and so on: what is chosen in the end was tried as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Self

from pydantic import model_validator

from dmforge.curation.contract.stage_results import Rejected, Result
from dmforge.filters.rollouts.experiment import Arm, Experiment
from dmforge.filters.rollouts.rollout_stage import Fps, RolloutStage, RolloutStageConfig, task_verdict
from dmforge.filters.rollouts.rounds import Share, difference
from dmforge.schemas.looks import Look, Window, print_density
from dmforge.schemas.records import Rollout, Target, Task, TaskWithVideo, Verdict, Video
from dmforge.schemas.targets import as_target, right_windows


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
    forces_looks = True
    measures = ("density_pass",)
    config: DensityConfig

    def arms(self, item: TaskWithVideo, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        windows = right_windows(task, self.config.max_looks)
        return (self._arms_of_look(windows, ()), "") if windows else Rejected("no window is known")

    def further_arms(self, trial: Experiment) -> Sequence[Arm]:
        chosen_arm, windows = self.lowest_sufficient(trial), right_windows(trial.task, self.config.max_looks)
        look_index = self._look_index(trial) + 1
        if chosen_arm is None or look_index == len(windows):
            return ()
        chosen_densities = [look.fps for look in trial.arms[chosen_arm].looks[:look_index]]
        return [arm for arm in self._arms_of_look(windows, chosen_densities) if arm.name not in trial.arms]

    def _arms_of_look(self, windows: Sequence[Window], chosen_densities: Sequence[Fraction]) -> list[Arm]:
        """An arm for each density of the next look: looks before it have the chosen ones, those behind it the largest."""
        behind = self.config.densities[-1:] * (len(windows) - len(chosen_densities) - 1)
        rows_of_densities = [(*chosen_densities, fps, *behind) for fps in self.config.densities]
        return [
            self.forced_arm(" then ".join(map(print_density, densities)), list(map(Look, windows, densities)))
            for densities in rows_of_densities
        ]

    def _look_index(self, trial: Experiment) -> int:
        """The look whose density is varied. All but the first share one arm with the look before."""
        return (len(trial.arms) - 2) // (len(self.config.densities) - 1)

    def _arms_to_choose_from(self, trial: Experiment) -> list[str]:
        """The names of the arms that vary the same look, from the lowest density on."""
        chosen_densities = [look.fps for look in [*trial.arms.values()][-1].looks[: self._look_index(trial)]]
        windows = right_windows(trial.task, self.config.max_looks)
        return [arm.name for arm in self._arms_of_look(windows, chosen_densities)]

    def arms_to_continue(self, trial: Experiment) -> Collection[str]:
        """All arms not clearly worse than the best, until the choice has stayed the same for a round."""
        if self._is_stable(trial):
            return ()
        arm_names = self._arms_to_choose_from(trial)
        best_tries = max((self.tries(trial, arm_name) for arm_name in arm_names), key=lambda arm_tries: arm_tries.rate)
        rate_tolerance = self.config.tolerance
        gap_by_arm = {arm_name: difference(best_tries, self.tries(trial, arm_name), self.confidence) for arm_name in arm_names}
        return [
            arm_name
            for arm_name, gap_to_best in gap_by_arm.items()
            if gap_to_best.against(rate_tolerance, rate_tolerance) != "above"
        ]

    def lowest_sufficient(self, trial: Experiment, max_tries: int | None = None) -> str | None:
        """The arm with the lowest density that does as well as the best one; None where no rollout was ever right."""
        rate_by_arm = {arm_name: self.tries(trial, arm_name, max_tries).rate for arm_name in self._arms_to_choose_from(trial)}
        best_rate = max(rate_by_arm.values())
        return (
            next(arm_name for arm_name, arm_rate in rate_by_arm.items() if arm_rate >= best_rate - self.config.tolerance)
            if best_rate
            else None
        )

    def _is_stable(self, trial: Experiment) -> bool:
        """Whether the choice has stayed the same for a round."""
        if trial.rounds_done < 2:
            return False
        return self.lowest_sufficient(trial) == self.lowest_sufficient(trial, self.config.rounds.sizes[trial.rounds_done - 2])

    def conclude(self, trial: Experiment) -> Sequence[Verdict | Target]:
        chosen_arm = self.lowest_sufficient(trial)
        tries_detail = ", ".join(f"{self.tries(trial, arm_name)} at {arm_name}" for arm_name in trial.arms)
        if chosen_arm is None:
            max_rollouts = max(len(arm_rollouts) for arm_rollouts in trial.rollouts.values())
            return [task_verdict(trial, "density_pass", 0.0, max_rollouts, "right at no density", tries_detail)]
        chosen_tries = self.tries(trial, chosen_arm)
        verdict = task_verdict(
            trial,
            "density_pass",
            chosen_tries.rate,
            chosen_tries.n,
            "stood for a round" if self._is_stable(trial) else "not clear",
            tries_detail,
        )
        target_looks = as_target(trial.arms[chosen_arm].looks)
        return [verdict, Target(trial.video.id, trial.task.id, target_looks[0], "replay", further_looks=target_looks[1:])]
