"""Makes candidates at a sufficient density: the teacher is shown its own window at the target's density, and answers again.

Nothing is changed under a finished text. Call 1 is the same request as before, so its answer comes from the journal and costs
nothing; call 2 is new, with other frames. A first thought that names another density can't stand before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from pydantic import model_validator

from dmforge.curation.contract.budget import ExpectedCost
from dmforge.curation.contract.stage_results import Made, Quarantined, Rejected, Result
from dmforge.generators.stages.annotate import AnnotateConfig, SeveralTeachersStage
from dmforge.generators.stages.one_look import answer_look, own_look
from dmforge.generators.stages.several_looks import Steps
from dmforge.generators.teacher.ask_stage import NO_READABLE_REPLY
from dmforge.generators.teacher.expected_tokens import expected_usage
from dmforge.generators.teacher.interview import QuestionRefused, UnreadableReply
from dmforge.schemas.looks import print_density
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import Candidate, Joined, Target, Task, Video
from dmforge.schemas.replies import AnswerReply, LookReply

NAMED = re.compile(r"(\d+(?:\.\d+)?)\s*(?:fps\b|(?:frames?|images?)\s+(?:per|a|each|every)\s+second)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TargetWithTask(Joined):
    """A target, whose look has the density that is enough, with its task and video."""

    target: Target
    task: Task
    video: Video | None


class ThinConfig(AnnotateConfig):
    """The settings of `[stages.annotate]`, which must be equal there: only then is call 1 found in the journal."""

    @model_validator(mode="after")
    def _looks_once(self) -> ThinConfig:
        if self.max_looks > 1:
            raise ValueError(
                f"`thin` has one density for one look, and [looks] max_looks is {self.max_looks}: leave it out, thrift works"
            )
        return self


class Thin(SeveralTeachersStage[TargetWithTask, Candidate]):
    """Targets to candidates: the teacher's own window, at the density of the target."""

    name, version = "thin", 1
    replies = (LookReply, AnswerReply)
    config: ThinConfig

    def expected(self, item: TargetWithTask) -> ExpectedCost | None:
        """The cost of call 2 alone, as if the teacher had looked where the target is."""
        if item.video is None:
            return None
        teacher = self.config.each()[self.config.chosen(item.task)]
        question_with_options = question_text(item.task)
        token_usage = expected_usage(
            teacher, self.config.clips, AnswerReply, item.video, item.target.look, question_with_options
        )
        return ExpectedCost(token_usage, teacher.price.usd(token_usage))

    async def process(self, item: TargetWithTask) -> Result:
        if item.video is None:
            return Quarantined("no video", "the task's video is not in the lake")
        teacher, target_fps = self.teacher_of(item.task), item.target.look.fps
        failure_detail = ""
        for attempt in self.attempts(item.id):
            try:
                steps = Steps()
                with self.attempt(teacher, item.task, item.video) as further:
                    look = await own_look(teacher, item.task, item.video, attempt, steps)
                    if look.fps == target_fps:
                        return Made(())
                    if named_densities(steps.thoughts[0]) - {target_fps}:
                        return Rejected("its first thought names a density", f"not {print_density(target_fps)}")
                    further.begin_next()
                    steps.looks[0] = replace(look, fps=target_fps)
                    candidate = await answer_look(teacher, item.task, item.video, attempt, steps, "teacher")
                return Made((candidate,))
            except UnreadableReply as error:
                failure_detail = str(error)
                if isinstance(error, QuestionRefused) and attempt + 1 >= self.config.attempts:
                    break  # for good: no further round is for this
        return self.rejected(item.id, NO_READABLE_REPLY, failure_detail)


def named_densities(thought: str) -> set[Fraction]:
    """The densities that a text names, in frames per second."""
    return {Fraction(density_text) for density_text in NAMED.findall(thought)}
