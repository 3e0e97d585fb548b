"""Does it matter where one looks? The right window is forced on a student, then a wrong one, then none.

Where several windows are needed and it may look several times, all of them are forced one after the other, then wrong ones.
How densely it looks is left to the student: it has never seen a density other than the one that its thought has just named,
and its answer would then say nothing about the window.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from random import Random

from dmforge.curation.contract.stage_results import Made, Result
from dmforge.filters.rollouts.experiment import NONE, Arm, Experiment
from dmforge.filters.rollouts.rollout_stage import Fps, RolloutStage, RolloutStageConfig, task_verdict
from dmforge.filters.rollouts.rounds import Share, difference
from dmforge.schemas.looks import Look, Window, print_span
from dmforge.schemas.records import Rollout, Task, TaskWithVideo, Verdict, Video
from dmforge.schemas.targets import right_windows
from dmforge.schemas.window_gaps import gaps_between

MIN_WINDOW_CS = 50
"""The shortest stretch of a video that is used as a wrong window."""


class NecessityConfig(RolloutStageConfig):
    """How densely forced windows are looked at, and when the differences are known well enough."""

    fps: Fps = Fraction(6)
    """The density of forced looks where the student has none of its own: without `own_thoughts`, or where its free rollout came
    to no look."""
    clear_of: Share = 0.2
    """A task is tried no more once the intervals of both differences are clear of this."""


class Necessity(RolloutStage[TaskWithVideo, Rollout | Verdict]):
    """Two verdicts a task. `necessity`: the pass rate with the right window minus that with a wrong one of its length.
    `necessity_coarse`: minus that without any look. 1 over n = 0 where it is unknown which window is right."""

    name, version = "necessity", 3
    forces_looks = True
    measures = ("necessity", "necessity_coarse")
    config: NecessityConfig

    def arms(self, item: TaskWithVideo, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        right_looks = [Look(window, self.config.fps) for window in right_windows(task, self.config.max_looks)]
        if not right_looks:
            unmeasurable_verdicts = [
                Verdict(video.id, task.id, "task", measure_name, 1.0, 0, "no window is known") for measure_name in self.measures
            ]
            return Made(tuple(unmeasurable_verdicts))
        arms = [self.forced_arm("right", right_looks, own_density=True), NONE]
        wrong_looks: list[Look] = []
        for look_index, look in enumerate(right_looks):
            wrong_windows = [wrong_look.window for wrong_look in wrong_looks]
            window_off_gold = wrong_window(task, look.window, video.duration_cs, look_index, wrong_windows) or wrong_window(
                task, look.window, video.duration_cs, look_index
            )
            wrong_looks += [Look(window_off_gold, self.config.fps)] if window_off_gold else []
        if not wrong_looks:
            return arms, "no room for a wrong window"
        return [*arms, self.forced_arm("wrong", wrong_looks, own_density=True)], ""

    def arms_to_continue(self, trial: Experiment) -> Collection[str]:
        right_tries = self.tries(trial, "right")
        undecided_arms = [
            arm_name
            for arm_name in trial.arms
            if arm_name != "right"
            and difference(right_tries, self.tries(trial, arm_name), self.confidence).against(
                self.config.clear_of, self.config.clear_of
            )
            == "not clear"
        ]
        return ["right", *undecided_arms] if undecided_arms else []

    def conclude(self, trial: Experiment) -> Sequence[Verdict]:
        return [*self._verdicts(trial)]

    def _verdicts(self, trial: Experiment) -> Iterator[Verdict]:
        right_tries = self.tries(trial, "right")
        for measure_name, baseline_arm in (
            ("necessity", "wrong" if "wrong" in trial.arms else "none"),
            ("necessity_coarse", "none"),
        ):
            baseline_tries = self.tries(trial, baseline_arm)
            difference_interval = difference(right_tries, baseline_tries, self.confidence)
            interval_position = difference_interval.against(self.config.clear_of, self.config.clear_of)
            verdict_reason = trial.note if trial.note and measure_name == "necessity" else interval_position
            baseline_spans = " and ".join(map(print_span, trial.arms[baseline_arm].windows))
            baseline_text = f"{baseline_tries} at {baseline_spans}" if baseline_spans else f"{baseline_tries} without a look"
            yield task_verdict(
                trial,
                measure_name,
                right_tries.rate - baseline_tries.rate,
                right_tries.n,
                verdict_reason,
                f"{right_tries} less {baseline_text}, interval {difference_interval}",
            )


def wrong_window(
    task: Task, right: Window, duration_cs: int, look_index: int = 0, other_windows: Sequence[Window] = ()
) -> Window | None:
    """A window that shows nothing of gold, nor of the `other_windows`, as long as the right one if there is room. It
    is drawn with the task's id as seed, and of further looks with their index, too."""
    gaps = gaps_between([*task.windows, *other_windows], 0, duration_cs)
    long_enough_gaps = [gap for gap in gaps if gap.end_cs - gap.start_cs >= MIN_WINDOW_CS]
    if not long_enough_gaps:
        return None
    length_cs = right.end_cs - right.start_cs
    long_gaps = [gap for gap in long_enough_gaps if gap.end_cs - gap.start_cs >= length_cs]
    if not long_gaps:
        return max(long_enough_gaps, key=lambda gap: (gap.end_cs - gap.start_cs, gap.start_cs))
    task_random = Random(task.id + look_index.to_bytes(4) if look_index else task.id)
    gap = task_random.choice(long_gaps)
    start_cs = task_random.randint(gap.start_cs, gap.end_cs - length_cs)
    return Window(start_cs, start_cs + length_cs)
