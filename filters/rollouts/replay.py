"""How often does a student solve a task by itself? Free rollouts: it looks where it likes, and answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from statistics import fmean

from dmforge.curation.contract.stage_results import Result
from dmforge.curation.sources.importing import imported_target
from dmforge.filters.rollouts.experiment import FREE, Arm, Experiment
from dmforge.filters.rollouts.rollout_stage import Fps, RolloutStage, RolloutStageConfig, task_verdict
from dmforge.filters.rollouts.rounds import Share, wilson
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Rollout, Task, TaskWithVideo, Verdict, Video
from dmforge.schemas.scoring import density_error, density_nearness, match_looks, window_score


class ReplayConfig(RolloutStageConfig):
    """When a pass rate is known well enough."""

    clear_of: tuple[Share, Share] = (0.05, 0.95)
    """A task is tried no more once the interval of its pass rate lies below, between or above these. With the defaults that
    is so once it was both solved and failed; a task that is always or never solved goes through all rounds."""
    largest_fps: Fps = Fraction(6)
    """The largest density that is offered: errors of density are shares of it."""


class Replay(RolloutStage[TaskWithVideo, Rollout | Verdict]):
    """Up to three verdicts a task. `replay`: the share of rollouts with the right answer. `replay_iou`: the mean overlap of
    looks with gold; 0 without a look. `replay_density`: 1 minus the mean error of the look's density, as a share of the largest
    density; 0 without a look. Several looks are matched with the target's; each that stays alone counts as no look."""

    name, version = "replay", 1
    measures = ("replay", "replay_iou", "replay_density")
    config: ReplayConfig

    def arms(self, item: TaskWithVideo, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        return (FREE,), ""

    def arms_to_continue(self, trial: Experiment) -> Collection[str]:
        interval_position = wilson(self.tries(trial, "free"), self.confidence).against(*self.config.clear_of)
        return ("free",) if interval_position == "not clear" else ()

    def conclude(self, trial: Experiment) -> Sequence[Verdict]:
        return [*self._verdicts(trial)]

    def _verdicts(self, trial: Experiment) -> Iterator[Verdict]:
        free_tries, free_rollouts = self.tries(trial, "free"), trial.rollouts["free"]
        success_interval = wilson(free_tries, self.confidence)
        interval_position = success_interval.against(*self.config.clear_of)
        yield task_verdict(
            trial,
            "replay",
            free_tries.rate,
            free_tries.n,
            interval_position,
            f"{free_tries} right, interval {success_interval}",
        )
        task = trial.task
        if task.windows:
            window_scores = [
                float(window_score(tuple(look.window for look in rollout.looks), task.windows, task.needs))
                for rollout in free_rollouts
            ]
            rollouts_with_look = sum(bool(rollout.looks) for rollout in free_rollouts)
            yield task_verdict(
                trial, "replay_iou", fmean(window_scores), free_tries.n, "", f"{rollouts_with_look} of {free_tries.n} looked"
            )
        target_looks = imported_target(task, self.config.max_looks)
        if target_looks:
            largest_fps = self.config.largest_fps
            errors_by_rollout = [_density_errors(rollout.looks, target_looks, largest_fps) for rollout in free_rollouts]
            density_score = fmean(
                float(_mean([max(Fraction(0), 1 - fps_error / largest_fps) for fps_error in fps_errors]))
                for fps_errors in errors_by_rollout
            )
            yield task_verdict(
                trial,
                "replay_density",
                density_score,
                free_tries.n,
                "",
                f"mean error {fmean(float(_mean(fps_errors)) for fps_errors in errors_by_rollout):.2f} fps",
            )


def _density_errors(looks: Sequence[Look], target_looks: Sequence[Look], largest_fps: Fraction) -> list[Fraction]:
    """The errors of looks that are matched with a target's; a look of either that stays alone is as wrong as can be."""
    look_pairs = match_looks(looks, target_looks, lambda fps, target_fps: density_nearness(fps, target_fps, largest_fps))
    unmatched_count = max(len(looks), len(target_looks)) - len(look_pairs)
    return [density_error(look.fps, target_look.fps) for look, target_look in look_pairs] + [largest_fps] * unmatched_count


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)
