"""How often does a student get there by itself? Free rollouts: it looks where it likes, and answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from statistics import fmean

from dmforge.curation.settled import Result
from dmforge.curation.sources.importing import target_of
from dmforge.filters.replaying import FREE, Arm, Fps, Replaying, ReplayingConfig, Trial, on_task
from dmforge.filters.rounds import Share, wilson
from dmforge.schemas.records import Rollout, Shown, Task, Verdict, Video
from dmforge.schemas.scoring import density_error, window_score


class ReplayConfig(ReplayingConfig):
    """When a pass rate is known well enough."""

    clear_of: tuple[Share, Share] = (0.05, 0.95)
    """A task is tried no more once the interval of its pass rate lies below, between or above these. With the defaults that
    is so once it was solved and failed; of what always or never succeeded all rounds are rolled out."""
    largest_fps: Fps = Fraction(6)
    """The largest density that is offered: errors of density are measured by it."""


class Replay(Replaying[Shown, Rollout | Verdict]):
    """Up to three verdicts a task. `replay`: the share of rollouts with the right answer. `replay_iou`: how well the first
    look meets gold, on average; without a look 0. `replay_density`: 1 less the mean distance from the target's density, as a
    share of the largest one; without a look 0."""

    name, version = "replay", 1
    measures = ("replay", "replay_iou", "replay_density")
    config: ReplayConfig

    def arms(self, item: Shown, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        return (FREE,), ""

    def wants(self, trial: Trial) -> Collection[str]:
        where = wilson(self.tries(trial, "free"), self.confidence).against(*self.config.clear_of)
        return ("free",) if where == "not clear" else ()

    def found(self, trial: Trial) -> Sequence[Verdict]:
        return [*self._found(trial)]

    def _found(self, trial: Trial) -> Iterator[Verdict]:
        tries, rollouts = self.tries(trial, "free"), trial.got["free"]
        interval = wilson(tries, self.confidence)
        where = interval.against(*self.config.clear_of)
        yield on_task(trial, "replay", tries.rate, tries.n, where, f"{tries} right, interval {interval}")
        task = trial.task
        if task.windows:
            ious = [float(window_score(tuple(look.window for look in r.looks), task.windows, task.needs)) for r in rollouts]
            looked = sum(bool(rollout.looks) for rollout in rollouts)
            yield on_task(trial, "replay_iou", fmean(ious), tries.n, "", f"{looked} of {tries.n} looked")
        target = target_of(task)
        if target is not None:
            largest = self.config.largest_fps
            errors = [density_error(r.looks[0].fps, target.fps) if r.looks else largest for r in rollouts]
            score = fmean(float(max(Fraction(0), 1 - error / largest)) for error in errors)
            yield on_task(trial, "replay_density", score, tries.n, "", f"mean error {fmean(map(float, errors)):.2f} fps")
