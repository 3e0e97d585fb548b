"""The base of stages that ask one teacher: prompts are part of the cache key, the connection is opened and closed."""

from __future__ import annotations

import json
from typing import ClassVar, TypeVar

from pydantic import Field

from dmforge.curation.contract.stage import Ask
from dmforge.curation.video.media import require_clips
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.interview import Interview
from dmforge.generators.teacher.teacher_config import TeacherConfig, missing
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Item, Record
from dmforge.schemas.replies import Reply
from dmforge.schemas.reply_reader import READER_VERSION

In = TypeVar("In", bound=Item)
Out = TypeVar("Out", bound=Record)


class ShowingConfig(TeacherConfig):
    """Settings of a teacher and of the frames that it is shown."""

    clips: Clips = Field(default_factory=Clips)
    """Which frames the teacher is shown: those that a student would see."""


class AskingStage(Ask[In, Out]):
    """A stage with one teacher, `self.teacher`, who is asked in words alone."""

    can_do_without_asking = True
    replies: ClassVar[tuple[type[Reply], ...]]
    """The replies that the teacher is asked for."""
    config: TeacherConfig

    def cache_key_parts(self) -> list[str]:
        prompts = [
            text for reply_type in self.replies for text in (instruction(reply_type.name), json.dumps(reply_type.json_schema()))
        ]
        return [*prompts, f"reader {READER_VERSION}"]

    def missing(self) -> InputError | None:
        return missing(self.config, self.name, self.account)

    def open(self, workspace: WorkspaceFolder) -> None:
        self.teacher = Interview(workspace, self.config, self.clips, self.name, self.account, journal_only=self.journal_only)

    async def aclose(self) -> None:
        await self.teacher.aclose()

    @property
    def clips(self) -> Clips:
        """Which frames the teacher is shown, where it is shown any."""
        return Clips()


class TeacherStage(AskingStage[In, Out]):
    """A stage with one teacher, who is also shown frames."""

    config: ShowingConfig

    def begin(self, workspace: WorkspaceFolder) -> None:
        require_clips(workspace, self.clips)

    @property
    def clips(self) -> Clips:
        return self.config.clips
