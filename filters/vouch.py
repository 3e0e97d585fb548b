"""Does a student, shown what a candidate looked at, come to its answer? Without that look, too? Would it look there itself?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from dmforge.curation.settled import Made, Rejected, Result
from dmforge.filters.replaying import NONE, Arm, Replaying, ReplayingConfig, Trial
from dmforge.filters.rounds import Share, difference, wilson
from dmforge.schemas.ids import Id
from dmforge.schemas.looks import Window, print_span, read_span
from dmforge.schemas.records import Attempt, Rollout, Shown, Task, Verdict, Video
from dmforge.schemas.scoring import iou


class VouchConfig(ReplayingConfig):
    """When it is known well enough."""

    clear_of: Share = 0.5
    """A candidate is tried no more once the interval of the agreement is clear of this, and"""
    gap_clear_of: Share = 0.2
    """the interval of what the look adds to it is clear of this."""
    known_without: Share = 0.5
    """From this agreement without any look on, a look that does as well is not held against the candidate: the coarse clip
    shows as much."""


class Vouch(Replaying[Attempt, Rollout | Verdict]):
    """Three verdicts a candidate, and none knows gold. `vouch`: the share of rollouts, with the candidate's look forced on
    them, that end with its answer: a wrong answer has few. `vouch_window`: that share less the one without any look: where a
    window shows nothing, it is nothing. 1 over n = 0 where the coarse clip shows as much. `vouch_overlap`: how much of what it
    looks at by itself and of the candidate's window is the same, on average: whoever sees nothing may guess as the candidate
    did, but doesn't look where nothing is. 1 over n = 0 where it never looks by itself."""

    name, version = "vouch", 3
    measures = ("vouch", "vouch_window", "vouch_overlap")
    repeats = True  # candidates of one task share the rollouts without a look
    config: VouchConfig

    def arms(self, item: Attempt, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        candidate = item.candidate
        if not candidate.answer.strip():
            return Rejected("no answer")
        if not candidate.looks or candidate.looks[0].window.start_cs >= video.duration_cs:
            reason = "its look shows no frame" if candidate.looks else "no look"
            told = (Verdict(video.id, candidate.id, "candidate", name, 0.0, 0, reason) for name in self.measures)
            return Made(tuple(told))
        return (Arm("look", candidate.looks[0]), NONE), ""

    def asked(self, item: Shown | Attempt, index: int) -> Task:
        """What the candidate answers is taken for right here."""
        if isinstance(item, Shown):
            return item.task
        answer = item.candidate.answer
        if item.task.task_kind != "grounding":
            return replace(item.task, answer=answer)
        span = read_span(answer.strip())
        windows = (Window(*span),) if span and span[0] < span[1] else ()
        return replace(item.task, answer=answer, windows=windows, needs="any")

    def wants(self, trial: Trial) -> Collection[str]:
        look, none = self.tries(trial, "look"), self.tries(trial, "none")
        least, gap = self.config.clear_of, self.config.gap_clear_of
        agreement = wilson(look, self.confidence).against(least, least)
        added = difference(look, none, self.confidence).against(gap, gap)
        if added == "not clear" and not self._known_without(trial):
            return ("look", "none")
        return ("look",) if agreement == "not clear" else ()

    def found(self, trial: Trial) -> Sequence[Verdict]:
        return [*self._found(trial)]

    def _found(self, trial: Trial) -> Iterator[Verdict]:
        look, none = self.tries(trial, "look"), self.tries(trial, "none")
        subject = trial.subject.candidate.id if isinstance(trial.subject, Attempt) else trial.task.id
        interval = wilson(look, self.confidence)
        least, gap = self.config.clear_of, self.config.gap_clear_of
        reason = {"above": "", "below": "the student answers otherwise"}.get(interval.against(least, least), "not clear")
        told = f"{look} answer so, interval {interval}"
        yield Verdict(trial.video.id, subject, "candidate", "vouch", look.rate, look.n, reason, told)
        interval = difference(look, none, self.confidence)
        reason = {"above": "", "below": "its look adds nothing"}.get(interval.against(gap, gap), "not clear")
        score, n = look.rate - none.rate, look.n
        if self._known_without(trial):
            score, n, reason = 1.0, 0, "the coarse clip shows as much"
        told = f"{look} with its look, {none} without, interval {interval}"
        yield Verdict(trial.video.id, subject, "candidate", "vouch_window", score, n, reason, told)
        yield self._overlap(trial, subject)

    def _overlap(self, trial: Trial, subject: Id) -> Verdict:
        own = [row.looks[0].window for row in trial.thoughts if row.looks]
        forced = trial.arms["look"].look
        if not own or forced is None:
            return Verdict(trial.video.id, subject, "candidate", "vouch_overlap", 1.0, 0, "it never looks by itself")
        shared = float(sum(iou((window,), (forced.window,)) for window in own) / len(own))
        told = f"{print_span(forced.window)} against its own, {print_span(own[0])} the first of them"
        return Verdict(trial.video.id, subject, "candidate", "vouch_overlap", shared, len(own), "", told)

    def _known_without(self, trial: Trial) -> bool:
        look, none = self.tries(trial, "look"), self.tries(trial, "none")
        return none.rate >= self.config.known_without and look.rate >= none.rate - (1 - self.confidence)
