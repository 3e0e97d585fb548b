"""Does it matter where one looks? The right window is forced on a student, then a wrong one, then none.

How densely it looks is left to the student: another density than its thought has just named is something that it has never
seen, and what it then makes of the frames says nothing about the window.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from random import Random

from dmforge.curation.settled import Made, Result
from dmforge.filters.replaying import NONE, Arm, Fps, Replaying, ReplayingConfig, Trial, on_task, right_window
from dmforge.filters.rounds import Share, difference
from dmforge.schemas.looks import Look, Window, print_span
from dmforge.schemas.records import Rollout, Shown, Task, Verdict, Video

LEAST_CS = 50
"""A shorter stretch is no window to look at."""


class NecessityConfig(ReplayingConfig):
    """What is forced, and when it is known well enough."""

    fps: Fps = Fraction(6)
    """How densely windows are looked at where the student has no density of its own: without `own_thoughts`, or where its free
    rollout came to no look."""
    clear_of: Share = 0.2
    """A task is tried no more once the intervals of both differences are clear of this."""


class Necessity(Replaying[Shown, Rollout | Verdict]):
    """Two verdicts a task. `necessity`: the pass rate with the right window less that with a wrong one of its length.
    `necessity_coarse`: less that without any look. 1 over n = 0 where nobody said which window is right."""

    name, version = "necessity", 3
    measures = ("necessity", "necessity_coarse")
    config: NecessityConfig

    def arms(self, item: Shown, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        window = right_window(task)
        if window is None:
            told = [Verdict(video.id, task.id, "task", name, 1.0, 0, "no window is known") for name in self.measures]
            return Made(tuple(told))
        arms = [Arm("right", Look(window, self.config.fps), own_density=True), NONE]
        elsewhere = wrong_window(task, window, video.duration_cs)
        if elsewhere is None:
            return arms, "no room for a wrong window"
        return [*arms, Arm("wrong", Look(elsewhere, self.config.fps), own_density=True)], ""

    def wants(self, trial: Trial) -> Collection[str]:
        right = self.tries(trial, "right")
        open_ = [
            name
            for name in trial.arms
            if name != "right"
            and difference(right, self.tries(trial, name), self.confidence).against(self.config.clear_of, self.config.clear_of)
            == "not clear"
        ]
        return ["right", *open_] if open_ else []

    def found(self, trial: Trial) -> Sequence[Verdict]:
        return [*self._found(trial)]

    def _found(self, trial: Trial) -> Iterator[Verdict]:
        right = self.tries(trial, "right")
        for name, arm in (("necessity", "wrong" if "wrong" in trial.arms else "none"), ("necessity_coarse", "none")):
            other = self.tries(trial, arm)
            interval = difference(right, other, self.confidence)
            where = interval.against(self.config.clear_of, self.config.clear_of)
            reason = trial.note if trial.note and name == "necessity" else where
            look = trial.arms[arm].look
            less = f"{other} at {print_span(look.window)}" if look else f"{other} without a look"
            yield on_task(trial, name, right.rate - other.rate, right.n, reason, f"{right} less {less}, interval {interval}")


def wrong_window(task: Task, right: Window, duration_cs: int) -> Window | None:
    """One that shows nothing of gold, as long as the right one if there is room, drawn by the task's id."""
    gaps = [gap for gap in _gaps(task.windows, duration_cs) if gap.end_cs - gap.start_cs >= LEAST_CS]
    if not gaps:
        return None
    length = right.end_cs - right.start_cs
    roomy = [gap for gap in gaps if gap.end_cs - gap.start_cs >= length]
    if not roomy:
        return max(gaps, key=lambda gap: (gap.end_cs - gap.start_cs, gap.start_cs))
    draw = Random(task.id)
    gap = draw.choice(roomy)
    start = draw.randint(gap.start_cs, gap.end_cs - length)
    return Window(start, start + length)


def _gaps(windows: Sequence[Window], duration_cs: int) -> Iterator[Window]:
    """What lies between windows."""
    at = 0
    for window in sorted(windows, key=lambda window: window.start_cs):
        if window.start_cs > at:
            yield Window(at, min(window.start_cs, duration_cs))
        at = max(at, window.end_cs)
    if at < duration_cs:
        yield Window(at, duration_cs)
