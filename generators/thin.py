"""Where another density is enough, the teacher is shown its window at that one, and answers anew: a new candidate.

Nothing is changed under a finished text. Call 1 is asked for in the same words as before, so it comes from the journal and
costs nothing; call 2 is a new one, about other frames. A first thought that names another density can't stand before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from dmforge.curation.accounts import Expected
from dmforge.curation.settled import Made, Quarantined, Rejected, Result
from dmforge.generators.annotate import AnnotateConfig, AskingSeveral, answered, own_look
from dmforge.generators.teacher.interview import Unreadable, expected_usage
from dmforge.schemas.looks import Look, print_density
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import Candidate, Joined, Target, Task, Video
from dmforge.schemas.replies import AnswerReply, LookReply

NAMED = re.compile(r"(\d+(?:\.\d+)?)\s*(?:fps\b|(?:frames?|images?)\s+(?:per|a|each|every)\s+second)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sought(Joined):
    """The density that is enough, beside the task and its video."""

    target: Target
    task: Task
    video: Video | None


class ThinConfig(AnnotateConfig):
    """As `[stages.annotate]`: what was asked there is only found in the journal if it is asked in the same way."""


class Thin(AskingSeveral[Sought, Candidate]):
    """Targets to candidates: the teacher's own window, at the density of the target."""

    name, version = "thin", 1
    replies = (LookReply, AnswerReply)
    config: ThinConfig

    def expected(self, item: Sought) -> Expected | None:
        """Call 2 alone, as if every teacher had looked where the target is."""
        if item.video is None:
            return None
        teacher = self.config.each()[self.config.chosen(item.task)]
        text = question_text(item.task)
        used = expected_usage(teacher, self.config.clips, AnswerReply, item.video, item.target.look, text)
        return Expected(used, teacher.price.usd(used))

    async def process(self, item: Sought) -> Result:
        if item.video is None:
            return Quarantined("no video", "the task's video is not in the lake")
        teacher, fps = self.teacher_of(item.task), item.target.look.fps
        why = ""
        for attempt in range(self.config.attempts):
            try:
                first, thought, look = await own_look(teacher, item.task, item.video, attempt)
                if look.fps == fps:
                    return Made(())
                if named(thought) - {fps}:
                    return Rejected("its first thought names a density", f"not {print_density(fps)}")
                thinner = Look(look.window, fps)
                made = await answered(teacher, item.task, item.video, attempt, first, thought, thinner, "teacher")
                return Made((made,))
            except Unreadable as error:
                why = str(error)
        return Rejected("no readable reply", why)


def named(thought: str) -> set[Fraction]:
    """The densities that a text speaks of."""
    return {Fraction(number) for number in NAMED.findall(thought)}
