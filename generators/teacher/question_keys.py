"""Keys of questions: what is asked, and neither how it is sent nor how long the reply may be; and the keys of before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dmforge.curation.engine.run_log import stage_settings_of_runs
from dmforge.curation.lake.journal import Journal, StoredAnswer
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.replies import Reply
from dmforge.schemas.reply_schema import UNBOUNDED, Bounds

EARLIER_LIMITS = (256, 512, 1024, 2048, 4096, 8192)
"""What recipes that came with dmforge said of `max_output_tokens`, and its default, when it was part of the key."""


@dataclass(frozen=True, slots=True)
class TeacherQuestion:
    """One question to one teacher."""

    reply: type[Reply]
    video: Id
    text: str
    attempt: int
    content_key: Sequence[object]
    """What is shown, as it is digested."""
    texts: Sequence[str]
    """All text that is sent beside the instruction."""
    parts: Callable[[], Awaitable[list[dict[str, Any]]]]
    """Makes the parts of the message: only where it is really asked."""
    image_count: int
    image_tokens: int
    bounds: Bounds = UNBOUNDED


def question_key(config: TeacherConfig, question: TeacherQuestion) -> Id:
    """The key of a question in the journal."""
    shown_and_asked = [instruction(question.reply.name), question.text, *question.content_key, question.attempt]
    return digest("ask", [config.model, config.sampling, *shown_and_asked])


@dataclass(frozen=True, slots=True)
class EarlierAnswer:
    """An answer that was given when the limit of a reply was part of the key."""

    key: Id
    limit: int
    stored: StoredAnswer


class EarlierKeys:
    """The keys that a stage's questions had in journals of format 1."""

    def __init__(self, config: TeacherConfig, workspace: WorkspaceFolder, stage: str) -> None:
        self._config, self._workspace, self._stage = config, workspace, stage

    def find(self, journal: Journal, question: TeacherQuestion) -> EarlierAnswer | None:
        """The earlier answer that counts: the first that isn't cut off, by its limit; else the one with the largest limit."""
        temperature = self._config.temperature
        # `reasoning` and the others came later: no question was asked with them
        if temperature == "default" or self._config.sampling.keys() - {"temperature"} or not journal.has_lines_of_format_1:
            return None
        cut: EarlierAnswer | None = None
        for limit in self._limits:
            parameters = [question.reply.json_schema(), self._config.model, temperature, limit]
            shown_and_asked = [instruction(question.reply.name), question.text, *question.content_key, question.attempt]
            key = digest("ask", [*parameters, *shown_and_asked])
            if (stored := journal.find(key)) is not None:
                answer = EarlierAnswer(key, limit, stored)
                if not stored.is_cut:
                    return answer
                cut = answer
        return cut

    @cached_property
    def _limits(self) -> list[int]:
        """The limits that they may have been asked with: those of the workspace's runs, and of dmforge's recipes."""
        settings = (run.get("max_output_tokens") for run in stage_settings_of_runs(self._workspace, self._stage))
        return sorted({*EARLIER_LIMITS, *(limit for limit in settings if type(limit) is int)})
