"""Is the question answerable without seeing the video? Language priors must not pass for evidence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from random import Random

from dmforge.curation.contract.stage_results import Result
from dmforge.filters.rollouts.experiment import Arm, Experiment
from dmforge.filters.rollouts.rollout_stage import RolloutStage, RolloutStageConfig, task_verdict
from dmforge.filters.rollouts.rounds import Share, wilson
from dmforge.generators.inference.forced_steps import STRAIGHT_TO_THE_ANSWER
from dmforge.schemas.records import CandidateWithTask, Rollout, Task, TaskWithVideo, Verdict, Video
from dmforge.schemas.scoring import choice

TEXT = Arm("text", opening=STRAIGHT_TO_THE_ANSWER)


class BlindConfig(RolloutStageConfig):
    """When the pass rate without seeing the video is known well enough."""

    clear_of: tuple[Share, Share] = (0.5, 0.5)
    """A task is tried no more once the interval of its pass rate lies below the first or above the second."""


class Blind(RolloutStage[TaskWithVideo, Rollout | Verdict]):
    """One verdict a task, `blind`: 1 minus the share of right answers from the text alone. Options stand in another order each
    time: a student that always says B knows nothing."""

    name, version = "blind", 1
    measures = ("blind",)
    shows_coarse_clip = False
    config: BlindConfig

    def arms(self, item: TaskWithVideo, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        return (TEXT,), ""

    def posed_task(self, item: TaskWithVideo | CandidateWithTask, index: int) -> Task:
        task = item.task
        answer_index = choice(task.answer, task.options)
        if answer_index is None:
            return task
        option_order = [*range(len(task.options))]
        Random(task.id + index.to_bytes(4)).shuffle(option_order)
        return replace(
            task, options=tuple(task.options[option_index] for option_index in option_order), answer=task.options[answer_index]
        )

    def arms_to_continue(self, trial: Experiment) -> Collection[str]:
        interval_position = wilson(self.tries(trial, "text"), self.confidence).against(*self.config.clear_of)
        return ("text",) if interval_position == "not clear" else ()

    def conclude(self, trial: Experiment) -> Sequence[Verdict]:
        text_tries = self.tries(trial, "text")
        interval = wilson(text_tries, self.confidence)
        reason = {"above": "answered blind", "below": ""}.get(interval.against(*self.config.clear_of), "not clear")
        return [
            task_verdict(
                trial,
                "blind",
                1 - text_tries.rate,
                text_tries.n,
                reason,
                f"{text_tries} right, interval {interval}",
            )
        ]
