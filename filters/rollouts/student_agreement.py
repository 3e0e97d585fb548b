"""Does a student that is shown a candidate's look come to its answer? Without the look, too? Would it look there by itself?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from dmforge.curation.contract.stage_results import Made, Rejected, Result
from dmforge.filters.rollouts.experiment import FREE, NONE, Arm, Experiment
from dmforge.filters.rollouts.rollout_stage import RolloutStage, RolloutStageConfig
from dmforge.filters.rollouts.rounds import Share, difference, wilson
from dmforge.schemas.ids import Id
from dmforge.schemas.looks import Window, print_span, read_span
from dmforge.schemas.records import CandidateWithTask, Rollout, Task, TaskWithVideo, Verdict, Video
from dmforge.schemas.scoring import iou


class VouchConfig(RolloutStageConfig):
    """When the agreement of the student is known well enough."""

    clear_of: Share = 0.5
    """A candidate is tried no more once the intervals of its agreement and of its gap are clear of this and `gap_clear_of`."""
    gap_clear_of: Share = 0.2
    """The same threshold for the gap: what the look adds to the agreement."""
    known_without: Share = 0.5
    """Where the agreement without any look is at least this, a look that does no better isn't held against the candidate: the
    coarse clip shows as much."""


class Vouch(RolloutStage[CandidateWithTask, Rollout | Verdict]):
    """Three verdicts a candidate, none of which uses gold. `vouch`: the share of rollouts, with the candidate's look forced on
    them, that end with its answer: a wrong answer has few. `vouch_window`: that share minus the one without any look: about 0
    where the window shows nothing. 1 over n = 0 where the coarse clip shows as much. `vouch_overlap`: the mean IoU of the
    windows that the student looks at by itself with the candidate's: a student that sees nothing may guess as the candidate
    did, but doesn't look where nothing is. 1 over n = 0 where it never looks by itself."""

    name, version = "vouch", 3
    forces_looks = True
    measures = ("vouch", "vouch_window", "vouch_overlap")
    allows_duplicate_rows = True  # candidates of one task share the rollouts without a look
    config: VouchConfig

    def arms(self, item: CandidateWithTask, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        candidate = item.candidate
        if not candidate.answer.strip():
            return Rejected("no answer")
        if not candidate.looks or any(look.window.start_cs >= video.duration_cs for look in candidate.looks):
            no_arms_reason = "its look shows no frame" if candidate.looks else "no look"
            zero_verdicts = (
                Verdict(video.id, candidate.id, "candidate", measure_name, 0.0, 0, no_arms_reason)
                for measure_name in self.measures
            )
            return Made(tuple(zero_verdicts))
        with_its_looks = self.forced_arm("look", candidate.looks)
        # a forced look of old has its thought from a free rollout; where the student thinks for itself they are made apart
        return (with_its_looks, NONE, FREE) if with_its_looks.steps else (with_its_looks, NONE), ""

    def posed_task(self, item: TaskWithVideo | CandidateWithTask, index: int) -> Task:
        """The task with the candidate's answer in place of gold."""
        if isinstance(item, TaskWithVideo):
            return item.task
        candidate_answer = item.candidate.answer
        if item.task.task_kind != "grounding":
            return replace(item.task, answer=candidate_answer)
        span_cs = read_span(candidate_answer.strip())
        answer_windows = (Window(*span_cs),) if span_cs and span_cs[0] < span_cs[1] else ()
        return replace(item.task, answer=candidate_answer, windows=answer_windows, needs="any")

    def arms_to_continue(self, trial: Experiment) -> Collection[str]:
        look_tries, coarse_tries = self.tries(trial, "look"), self.tries(trial, "none")
        agreement_threshold, gap_threshold = self.config.clear_of, self.config.gap_clear_of
        agreement_position = wilson(look_tries, self.confidence).against(agreement_threshold, agreement_threshold)
        gain_position = difference(look_tries, coarse_tries, self.confidence).against(gap_threshold, gap_threshold)
        free_arm = (FREE.name,) if FREE.name in trial.arms else ()
        if gain_position == "not clear" and not self._is_known_without_look(trial):
            return ("look", "none", *free_arm)
        return ("look", *free_arm) if agreement_position == "not clear" else ()

    def conclude(self, trial: Experiment) -> Sequence[Verdict]:
        return [*self._verdicts(trial)]

    def _verdicts(self, trial: Experiment) -> Iterator[Verdict]:
        look_tries, coarse_tries = self.tries(trial, "look"), self.tries(trial, "none")
        subject_id = trial.subject.candidate.id if isinstance(trial.subject, CandidateWithTask) else trial.task.id
        look_interval = wilson(look_tries, self.confidence)
        agreement_threshold, gap_threshold = self.config.clear_of, self.config.gap_clear_of
        verdict_reason = {"above": "", "below": "the student answers otherwise"}.get(
            look_interval.against(agreement_threshold, agreement_threshold), "not clear"
        )
        verdict_detail = f"{look_tries} answer so, interval {look_interval}"
        yield Verdict(
            trial.video.id, subject_id, "candidate", "vouch", look_tries.rate, look_tries.n, verdict_reason, verdict_detail
        )
        gain_interval = difference(look_tries, coarse_tries, self.confidence)
        verdict_reason = {"above": "", "below": "its look adds nothing"}.get(
            gain_interval.against(gap_threshold, gap_threshold), "not clear"
        )
        look_gain, look_try_count = look_tries.rate - coarse_tries.rate, look_tries.n
        if self._is_known_without_look(trial):
            look_gain, look_try_count, verdict_reason = 1.0, 0, "the coarse clip shows as much"
        verdict_detail = f"{look_tries} with its look, {coarse_tries} without, interval {gain_interval}"
        yield Verdict(
            trial.video.id, subject_id, "candidate", "vouch_window", look_gain, look_try_count, verdict_reason, verdict_detail
        )
        yield self._overlap(trial, subject_id)

    def _overlap(self, trial: Experiment, subject: Id) -> Verdict:
        free_rollouts = trial.rollouts.get(FREE.name, trial.free_rollouts)
        free_windows = [tuple(look.window for look in rollout.looks) for rollout in free_rollouts if rollout.looks]
        forced_windows = trial.arms["look"].windows
        if not free_windows:
            return Verdict(trial.video.id, subject, "candidate", "vouch_overlap", 1.0, 0, "it never looks by itself")
        mean_iou_with_forced = float(sum(iou(own_windows, forced_windows) for own_windows in free_windows) / len(free_windows))
        forced_spans, own_spans = (" and ".join(map(print_span, windows)) for windows in (forced_windows, free_windows[0]))
        windows_detail = f"{forced_spans} against its own, {own_spans} the first of them"
        return Verdict(
            trial.video.id, subject, "candidate", "vouch_overlap", mean_iou_with_forced, len(free_windows), "", windows_detail
        )

    def _is_known_without_look(self, trial: Experiment) -> bool:
        look_tries, coarse_tries = self.tries(trial, "look"), self.tries(trial, "none")
        return coarse_tries.rate >= self.config.known_without and look_tries.rate >= coarse_tries.rate - (1 - self.confidence)
