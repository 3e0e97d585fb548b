"""Only the needle may answer: where a teacher sees in the host what the question is about, it is no haystack for it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import Field, PositiveInt

from dmforge.curation.accounts import Expected
from dmforge.curation.settled import Made, Quarantined, Rejected, Result
from dmforge.curation.stage import Ask, Gate
from dmforge.curation.video.media import require_clips
from dmforge.curation.workspace import Workspace
from dmforge.generators.needles import Haystack
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.client import TeacherConfig
from dmforge.generators.teacher.interview import Interview, Unreadable, expected_usage
from dmforge.schemas.clips import Clips
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

    haystack: Haystack
    video: Video | None
    task: Task | None


class AbsentConfig(TeacherConfig):
    """Who is asked."""

    temperature: float = 0.0
    """Of sampling."""
    clips: Clips = Field(default_factory=Clips)
    """Which frames the teacher is shown."""
    attempts: PositiveInt = 3
    """How often until the reply can be read."""


class Absent(Gate, Ask[Hosted, Absence]):
    """Haystacks go on whose host lacks every needle."""

    name, version = "absent", 1
    config: AbsentConfig

    def passing(self, made: str) -> str:
        return f"SELECT haystack AS id FROM ({made})"

    def ingredients(self) -> list[str]:
        return [instruction(PresentReply.name), json.dumps(PresentReply.json_schema())]

    def begin(self, workspace: Workspace) -> None:
        require_clips(workspace, self.config.clips)

    def open(self, workspace: Workspace) -> None:
        self._teacher = Interview(workspace, self.config, self.config.clips, self.name, self.account)

    async def aclose(self) -> None:
        await self._teacher.aclose()

    def expected(self, item: Hosted) -> Expected | None:
        if item.video is None or item.task is None:
            return None
        used = expected_usage(self.config, self.config.clips, PresentReply, item.video, None, _asked(item.haystack, item.task))
        return Expected(used, self.config.price.usd(used))

    async def process(self, item: Hosted) -> Result:
        haystack = item.haystack
        if item.video is None or item.task is None:
            return Quarantined("no video", "the haystack's host or its task is not in the lake")
        text, why = _asked(haystack, item.task), ""
        for attempt in range(self.config.attempts):
            try:
                _, said = await self._teacher.ask(PresentReply, item.video, None, text, attempt)
            except Unreadable as error:
                why = str(error)
                continue
            if said.answer == "yes":
                return Rejected("its host shows it, too", said.thought)
            return Made((Absence(haystack.video, haystack.id),))
        return Rejected("no readable reply", why)


def _asked(haystack: Haystack, task: Task) -> str:
    """What must not be in the host: all that its needles show, and what the question is about."""
    shown = "\n".join(dict.fromkeys(needle.what for needle in haystack.needles))
    return f"Any of these:\n{shown}\n\n{task.question}"
