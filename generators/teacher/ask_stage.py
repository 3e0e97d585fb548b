"""The base of stages that ask one teacher: prompts are part of the cache key, the connection is opened and closed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar, TypeVar

from pydantic import Field, PositiveInt

from dmforge.curation.contract.stage import Ask
from dmforge.curation.contract.stage_results import Rejected
from dmforge.curation.lake.journal import has_answers
from dmforge.curation.sources import further_attempts
from dmforge.curation.video.media import refuse_other_clips, require_clips
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.interview import Interview
from dmforge.generators.teacher.teacher_config import TeacherConfig, missing, wrong_endpoint
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Item, Record
from dmforge.schemas.replies import Reply
from dmforge.schemas.reply_reader import READER_VERSION

In = TypeVar("In", bound=Item)
Out = TypeVar("Out", bound=Record)

NO_READABLE_REPLY = "no readable reply"


class ShowingConfig(TeacherConfig):
    """Settings of a teacher and of the frames that it is shown."""

    clips: Clips = Field(default_factory=Clips)
    """Which frames the teacher is shown: those that a student would see."""


class RetryingConfig(ShowingConfig):
    """Settings of a teacher that is asked again where its reply can't be used."""

    attempts: PositiveInt = 3
    """How often, until the reply can be used."""


def keys_of_replies(reply_types: Sequence[type[Reply]]) -> list[str]:
    """The instructions and schemas of replies: what a stage's work key says of them."""
    return [text for reply_type in reply_types for text in (instruction(reply_type.name), json.dumps(reply_type.json_schema()))]


class AskingStage(Ask[In, Out]):
    """A stage with one teacher, `self.teacher`, who is asked in words alone."""

    can_do_without_asking = True
    unreadable_reason = NO_READABLE_REPLY
    replies: ClassVar[tuple[type[Reply], ...]]
    """The replies that the teacher is asked for."""
    config: TeacherConfig

    def cache_key_parts(self) -> list[str]:
        return [*keys_of_replies(self.replies), f"reader {READER_VERSION}"]

    def missing(self) -> InputError | None:
        return missing(self.config, self.name, self.account)

    def may_be_answered(self, workspace: WorkspaceFolder) -> bool:
        return all(
            any(has_answers(workspace, model) for model in (config.model, *config.earlier_models))
            for config in self.config.each()
        )

    def wrong_endpoint(self) -> InputError | None:
        return wrong_endpoint(self.config, self.name)

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

    def check(self, workspace: WorkspaceFolder) -> None:
        refuse_other_clips(workspace, self.clips)

    def begin(self, workspace: WorkspaceFolder) -> None:
        require_clips(workspace, self.clips)

    @property
    def clips(self) -> Clips:
        return self.config.clips


class RetryingStage(TeacherStage[In, Out]):
    """A stage that puts a question again, as another attempt, where a reply can't be used: `attempts` times, and as often once
    more for each further round that a person granted."""

    retryable: ClassVar[tuple[str, ...]] = (NO_READABLE_REPLY,)
    config: RetryingConfig

    def open(self, workspace: WorkspaceFolder) -> None:
        super().open(workspace)
        self.read_granted(workspace)

    def read_granted(self, workspace: WorkspaceFolder) -> None:
        """Read which inputs were granted further rounds."""
        self._granted = further_attempts.rounds_by_input(workspace, self.name)

    def rounds(self, input_id: Id) -> range:
        """The rounds that an input may use; 0 is that which every input has."""
        return range(1 + self._granted[input_id])

    def attempts_of_round(self, round_number: int, index: int = 0, count: int = 1) -> range:
        """The numbers of the attempts of a round at part `index` of `count`. No two rounds or parts share one, and those of
        round 0 are the same whatever was granted: answers are found in the journal by them."""
        first = (round_number * count + index) * self.config.attempts
        return range(first, first + self.config.attempts)

    def attempts(self, input_id: Id, index: int = 0, count: int = 1) -> list[int]:
        """The numbers of all attempts at part `index` of `count` of an input, round after round."""
        return [
            number for round_number in self.rounds(input_id) for number in self.attempts_of_round(round_number, index, count)
        ]

    def rejected(self, input_id: Id, reason: str, detail: str) -> Rejected:
        """A rejection for a reason that another reply may change: it says how many further rounds were used, so that one from
        before a grant is known and the input is tried again."""
        return Rejected(reason, detail + further_attempts.mark(self._granted[input_id]))
