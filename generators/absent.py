"""Rejects haystacks whose host shows the needle: a teacher that sees only the host must not see what is asked about."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import PositiveInt

from dmforge.curation.accounts import Expected
from dmforge.curation.settled import Made, Quarantined, Rejected, Result
from dmforge.curation.stage import Gate
from dmforge.generators.needles import Haystack
from dmforge.generators.teacher.asking import Asking, ShowingConfig
from dmforge.generators.teacher.interview import Unreadable, expected_usage
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Joined, Record, Task, Video
from dmforge.schemas.replies import PresentReply


@dataclass(frozen=True, slots=True)
class Absence(Record):
    """A haystack whose host doesn't show what its question is about."""

    kind = "absence"
    table = "absences"

    video: Id
    haystack: Id


@dataclass(frozen=True, slots=True)
class Hosted(Joined):
    """A haystack with its host, and the task that its question is from."""

    elsewhere = frozenset({"task"})

    haystack: Haystack
    video: Video | None
    task: Task | None


class AbsentConfig(ShowingConfig):
    """Who is asked."""

    temperature: float = 0.0
    """Of sampling."""
    attempts: PositiveInt = 3
    """How often until the reply can be read."""


class Absent(Gate, Asking[Hosted, Absence]):
    """Passes on the haystacks whose host shows none of their needles."""

    name, version = "absent", 1
    replies = (PresentReply,)
    config: AbsentConfig

    def passing(self, made: str) -> str:
        return f"SELECT haystack AS id FROM ({made})"

    def expected(self, item: Hosted) -> Expected | None:
        if item.video is None or item.task is None:
            return None
        usage = expected_usage(
            self.config, self.config.clips, PresentReply, item.video, None, _question_text(item.haystack, item.task)
        )
        return Expected(usage, self.config.price.usd(usage))

    async def process(self, item: Hosted) -> Result:
        haystack = item.haystack
        if item.video is None or item.task is None:
            return Quarantined("no video", "the haystack's host or its task is not in the lake")
        text, attempts = _question_text(haystack, item.task), range(self.config.attempts)
        try:
            _, reply = await self.teacher.insist(PresentReply, item.video, None, text, attempts)
        except Unreadable as error:
            return Rejected("no readable reply", str(error))
        if reply.answer == "yes":
            return Rejected("its host shows it, too", reply.thought)
        return Made((Absence(haystack.video, haystack.id),))


def _question_text(haystack: Haystack, task: Task) -> str:
    """The text for the teacher: all that the needles show, and the question."""
    needle_texts = "\n".join(dict.fromkeys(needle.what for needle in haystack.needles))
    return f"Any of these:\n{needle_texts}\n\n{task.question}"
