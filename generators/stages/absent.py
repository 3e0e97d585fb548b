"""Rejects haystacks whose host shows the needle: a teacher that sees only the host must not see what is asked about."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import PositiveInt

from dmforge.curation.contract.budget import ExpectedCost
from dmforge.curation.contract.stage import Gate
from dmforge.curation.contract.stage_results import Made, Quarantined, Rejected, Result
from dmforge.generators.stages.needles import Haystack, HaystackWithHost
from dmforge.generators.teacher.ask_stage import NO_READABLE_REPLY, RetryingConfig, RetryingStage
from dmforge.generators.teacher.expected_tokens import expected_usage
from dmforge.generators.teacher.interview import UnreadableReply
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Record, Task
from dmforge.schemas.replies import PresentReply


@dataclass(frozen=True, slots=True)
class Absence(Record):
    """A haystack whose host doesn't show what its question is about."""

    kind = "absence"
    table = "absences"

    video: Id
    """The host."""
    haystack: Id
    """The haystack that may be spliced."""


class AbsentConfig(RetryingConfig):
    """Who is asked."""

    temperature: float = 0.0
    """Of sampling."""
    attempts: PositiveInt = 3
    """How often until the reply can be read."""


class Absent(Gate, RetryingStage[HaystackWithHost, Absence]):
    """Passes on the haystacks whose host shows none of their needles."""

    name, version = "absent", 1
    replies = (PresentReply,)
    config: AbsentConfig

    def passing(self, made: str) -> str:
        return f"SELECT haystack AS id FROM ({made})"

    def expected(self, item: HaystackWithHost) -> ExpectedCost | None:
        if item.video is None or item.task is None:
            return None
        token_usage = expected_usage(
            self.config, self.config.clips, PresentReply, item.video, None, _question_text(item.haystack, item.task)
        )
        return ExpectedCost(token_usage, self.config.price.usd(token_usage))

    async def process(self, item: HaystackWithHost) -> Result:
        haystack = item.haystack
        if item.video is None or item.task is None:
            return Quarantined("no video", "the haystack's host or its task is not in the lake")
        prompt_text, attempt_numbers = _question_text(haystack, item.task), self.attempts(item.id)
        try:
            _, reply, _ = await self.teacher.insist(PresentReply, item.video, None, prompt_text, attempt_numbers)
        except UnreadableReply as error:
            return self.rejected(item.id, NO_READABLE_REPLY, str(error))
        if reply.answer == "yes":
            return Rejected("its host shows it, too", reply.thought)
        return Made((Absence(haystack.video, haystack.id),))


def _question_text(haystack: Haystack, task: Task) -> str:
    """The text for the teacher: all that the needles show, and the question."""
    needle_texts = "\n".join(dict.fromkeys(needle.what for needle in haystack.needles))
    return f"Any of these:\n{needle_texts}\n\n{task.question}"
