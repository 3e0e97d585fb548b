"""Does a candidate need each of its looks? A look is left out by forcing a wrong window of its length in its place.

Leaving looks out one by one doesn't tell of two that show the same: each of them seems needless as long as the other is there.
So the looks that were needed one by one are then tried alone, and where that is clearly worse, looks come back one at a time.
With N looks that takes at most 2 N arms.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from dmforge.curation.contract.stage_results import Made, Result
from dmforge.filters.rollouts.experiment import NONE, Arm, Experiment
from dmforge.filters.rollouts.necessity import wrong_window
from dmforge.filters.rollouts.rollout_stage import RolloutStage, RolloutStageConfig
from dmforge.filters.rollouts.rounds import Share, Where, difference
from dmforge.schemas.records import Candidate, CandidateWithTask, Rollout, Task, Verdict, Video

ALL = "all"
KeptLooks = tuple[int, ...]
"""The indices of the looks that are as the candidate has them; in the place of the others stand wrong windows."""


class NeededLooksConfig(RolloutStageConfig):
    """How much worse a student must be without a look that it needs."""

    own_thoughts: Literal[True] = True
    """The student always thinks for itself before each look."""
    clear_of: Share = 0.2
    """A look is needed if the pass rate without it is lower by at least this. A candidate is tried no more once the intervals
    of these differences are clear of it."""
    removed: bool = False
    """Whether each look is also left out with nothing in its place. That is beside the figure which counts: a student that has
    learnt to look twice doesn't know what to do after one look."""


class NeededLooks(RolloutStage[CandidateWithTask, Rollout | Verdict]):
    """Two verdicts a candidate. `needed_looks`: the pass rate with all of its looks minus that without the one that is missed
    least. `minimal_looks`: the share of its looks that are enough together: 1 where none can be left out. 1 over n = 0 where
    the student isn't right with all of them, either, where the video has no room for wrong windows, and of `minimal_looks`
    where it stays unclear which are enough."""

    name, version = "needed_looks", 1
    forces_looks = True
    measures = ("needed_looks", "minimal_looks")
    allows_duplicate_rows = True  # candidates of one task may share looks
    config: NeededLooksConfig

    def arms(self, item: CandidateWithTask, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        looks = item.candidate.looks
        if not looks or any(look.window.start_cs >= video.duration_cs for look in looks):
            return self._untried(item, video, 0.0, "one of its looks shows no frame" if looks else "no look")
        kept_sets = [tuple(range(len(looks))), *(_all_but(index, len(looks)) for index in range(len(looks)))]
        arms = [arm for kept in kept_sets if (arm := _arm(item.candidate, task, video, kept)) is not None]
        if len(arms) < len(kept_sets):
            return self._untried(item, video, 1.0, "no room for a wrong window")
        return [*arms, *(_with_look_removed(item.candidate, index) for index in range(len(looks)) if self.config.removed)], ""

    def _untried(self, item: CandidateWithTask, video: Video, score: float, reason: str) -> Made:
        """The verdicts on a candidate that can't be tried: without any it would stay undetermined for ever."""
        return Made(tuple(Verdict(video.id, item.candidate.id, "candidate", name, score, 0, reason) for name in self.measures))

    def arms_to_continue(self, trial: Experiment) -> Collection[str]:
        undecided_arms = [name for name in trial.active_arms if name != ALL and self._position(trial, name) == "not clear"]
        return [ALL, *undecided_arms] if undecided_arms else []

    def further_arms(self, trial: Experiment) -> Sequence[Arm]:
        arm = _arm(_candidate(trial), trial.task, trial.video, self._enough(trial))
        return [arm] if arm is not None and arm.name not in trial.arms else ()

    def _enough(self, trial: Experiment) -> KeptLooks:
        """The fewest looks that may be enough, by what is known so far; if they weren't tried alone, they are next."""
        look_count = len(_candidate(trial).looks)
        losses = [self._rate_loss(trial, _arm_name(_all_but(index, look_count), look_count)) for index in range(look_count)]
        by_falling_loss = sorted(range(look_count), key=lambda index: -losses[index])
        needed_count = sum(loss >= self.config.clear_of for loss in losses)
        if not self._is_solved(trial):
            return tuple(range(look_count))
        for kept_count in range(needed_count, look_count):
            kept = tuple(sorted(by_falling_loss[:kept_count]))
            arm_name = _arm_name(kept, look_count)
            if arm_name not in trial.arms or self._position(trial, arm_name) != "above":
                return kept
        return tuple(range(look_count))

    def conclude(self, trial: Experiment) -> Sequence[Verdict]:
        tries_detail = ", ".join(f"{self.tries(trial, arm_name)} {_looks_of_arm(arm_name)}" for arm_name in trial.arms)
        if self._is_solved(trial):
            measured = [self._needed_looks(trial), self._minimal_looks(trial)]
        else:
            measured = [(1.0, 0, "not right with all of them, either")] * 2
        return [
            Verdict(trial.video.id, _candidate(trial).id, "candidate", measure, score, rollout_count, reason, tries_detail)
            for measure, (score, rollout_count, reason) in zip(self.measures, measured, strict=True)
        ]

    def _needed_looks(self, trial: Experiment) -> tuple[float, int, str]:
        """The score of the verdict, the number of rollouts with all looks, and the reason."""
        look_count = len(_candidate(trial).looks)
        loss_by_arm = {name: self._rate_loss(trial, name) for name in _arms_without_one(look_count)}
        min_loss_arm = min(loss_by_arm, key=lambda name: loss_by_arm[name])
        reason = {"above": "", "below": f"as right {_looks_of_arm(min_loss_arm)}"}.get(
            self._position(trial, min_loss_arm), "not clear"
        )
        return loss_by_arm[min_loss_arm], self.tries(trial, ALL).n, reason

    def _minimal_looks(self, trial: Experiment) -> tuple[float, int, str]:
        """The same of the other verdict."""
        look_count, enough = len(_candidate(trial).looks), self._enough(trial)
        has_all = len(enough) == look_count
        decisive_arms = _arms_without_one(look_count) if has_all else [_arm_name(enough, look_count)]
        if any(self._position(trial, arm_name) == "not clear" for arm_name in decisive_arms):
            return 1.0, 0, "not clear"
        reason = "" if has_all else f"as right {_looks_of_arm(decisive_arms[0])}"
        return len(enough) / look_count, self.tries(trial, ALL).n, reason

    def _is_solved(self, trial: Experiment) -> bool:
        return self.tries(trial, ALL).rate >= self.config.clear_of

    def _rate_loss(self, trial: Experiment, arm_name: str) -> float:
        return self.tries(trial, ALL, self.tries(trial, arm_name).n).rate - self.tries(trial, arm_name).rate

    def _position(self, trial: Experiment, arm_name: str) -> Where:
        """Where the loss in an arm lies. It is of equally many rollouts with all looks: what was decided once stays so when
        later arms ask for more of these."""
        arm_tries = self.tries(trial, arm_name)
        loss_interval = difference(self.tries(trial, ALL, arm_tries.n), arm_tries, self.confidence)
        return loss_interval.against(self.config.clear_of, self.config.clear_of)


def _candidate(trial: Experiment) -> Candidate:
    assert isinstance(trial.subject, CandidateWithTask)
    return trial.subject.candidate


def _all_but(look_index: int, look_count: int) -> KeptLooks:
    return tuple(index for index in range(look_count) if index != look_index)


def _arms_without_one(look_count: int) -> list[str]:
    return [_arm_name(_all_but(index, look_count), look_count) for index in range(look_count)]


def _arm_name(kept: KeptLooks, look_count: int) -> str:
    if len(kept) == look_count:
        return ALL
    if len(kept) == look_count - 1:
        return f"without {next(index + 1 for index in range(look_count) if index not in kept)}"
    return f"only {' '.join(str(index + 1) for index in kept)}" if kept else "only wrong ones"


def _looks_of_arm(arm_name: str) -> str:
    """The looks of an arm, as a part of a sentence."""
    return "with all looks" if arm_name == ALL else f"with {arm_name}" if arm_name.startswith("only") else arm_name


def _arm(candidate: Candidate, task: Task, video: Video, kept: KeptLooks) -> Arm | None:
    """The arm in which the other looks are wrong windows; None where the video has no room for these."""
    windows = [look.window for look in candidate.looks]
    steps = [
        window if index in kept else wrong_window(task, window, video.duration_cs, index, windows)
        for index, window in enumerate(windows)
    ]
    shown_steps = tuple(step for step in steps if step is not None)
    return Arm(_arm_name(kept, len(windows)), steps=shown_steps) if len(shown_steps) == len(steps) else None


def _with_look_removed(candidate: Candidate, look_index: int) -> Arm:
    name = f"{_arm_name(_all_but(look_index, len(candidate.looks)), len(candidate.looks))}, removed"
    steps = tuple(look.window for index, look in enumerate(candidate.looks) if index != look_index)
    return Arm(name, steps=steps, opening="" if steps else NONE.opening)
