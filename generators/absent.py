"""Only the needle may answer: where a teacher sees in the host what the question is about, it is no haystack for it."""

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
    """A haystack whose host does not answer by itself."""

    kind = "absence"
    table = "absences"

    video: Id
    haystack: Id


@dataclass(frozen=True, slots=True)
class Hosted(Joined):
    """A haystack beside its host, and the task that its question is from."""

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
    """Haystacks go on whose host lacks every needle."""

    name, version = "absent", 1
    replies = (PresentReply,)
    config: AbsentConfig

    def passing(self, made: str) -> str:
        return f"SELECT haystack AS id FROM ({made})"

    def expected(self, item: Hosted) -> Expected | None:
        if item.video is None or item.task is None:
            return None
        used = expected_usage(self.config, self.config.clips, PresentReply, item.video, None, _asked(item.haystack, item.task))
        return Expected(used, self.config.price.usd(used))

    async def process(self, item: Hosted) -> Result:
        haystack = item.haystack
        if item.video is None or item.task is None:
            return Quarantined("no video", "the haystack's host or its task is not in the lake")
        text, attempts = _asked(haystack, item.task), range(self.config.attempts)
        try:
            _, said = await self.teacher.insist(PresentReply, item.video, None, text, attempts)
        except Unreadable as error:
            return Rejected("no readable reply", str(error))
        if said.answer == "yes":
            return Rejected("its host shows it, too", said.thought)
        return Made((Absence(haystack.video, haystack.id),))


def _asked(haystack: Haystack, task: Task) -> str:
    """What must not be in the host: all that its needles show, and what the question is about."""
    shown = "\n".join(dict.fromkeys(needle.what for needle in haystack.needles))
    return f"Any of these:\n{shown}\n\n{task.question}"
