"""Keys of questions: what is asked, and neither how it is sent nor how long the reply may be; and the keys of before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dmforge.curation.engine.run_log import stage_settings_of_runs
from dmforge.curation.lake.journal import Journal, Stored
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.teacher_config import TEMPERATURE, TeacherConfig
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.replies import Reply
from dmforge.schemas.reply_schema import UNBOUNDED, Bounds
from dmforge.schemas.sizes import Size

FORMER_LIMITS = (256, 512, 1024, 2048, 4096, 8192)
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
    parts: Callable[[], Awaitable[list[dict[str, Any]]]]
    """Makes the parts of the message: only where it is really asked."""
    image_count: int
    image_size: Size
    bounds: Bounds = UNBOUNDED


def question_key(config: TeacherConfig, question: TeacherQuestion) -> Id:
    """The key of a question in the journal."""
    shown_and_asked = [instruction(question.reply.name), question.text, *question.content_key, question.attempt]
    return digest("ask", [config.model, config.sampling, *shown_and_asked])


@dataclass(frozen=True, slots=True)
class Former:
    """An answer that was given when the limit of a reply was part of the key."""

    key: Id
    limit: int
    stored: Stored


class FormerKeys:
    """The keys that questions had in journals of format 1."""

    def __init__(self, config: TeacherConfig, limits: Sequence[int]) -> None:
        self._config, self._limits = config, sorted(limits)

    def find(self, journal: Journal, question: TeacherQuestion) -> Former | None:
        """The answer of before that counts: the first that isn't cut off, by its limit; else the one with the largest limit."""
        if not journal.has_former_lines:
            return None
        cut: Former | None = None
        for limit in self._limits:
            key = self._key(question, limit)
            stored = journal.find(key)
            if stored is not None:
                former = Former(key, limit, stored)
                if not stored.is_cut:
                    return former
                cut = former
        return cut

    def _key(self, question: TeacherQuestion, limit: int) -> Id:
        temperature = TEMPERATURE if self._config.temperature == "default" else self._config.temperature
        parameters = [question.reply.json_schema(), self._config.model, temperature, limit]
        system_prompt = instruction(question.reply.name)
        return digest("ask", [*parameters, system_prompt, question.text, *question.content_key, question.attempt])


def former_limits(workspace: WorkspaceFolder, stage: str) -> list[int]:
    """The limits that a stage's questions may have been asked with: those of the workspace's runs and of dmforge's recipes."""
    settings = (run.get("max_output_tokens") for run in stage_settings_of_runs(workspace, stage))
    return sorted({*FORMER_LIMITS, *(limit for limit in settings if type(limit) is int)})
