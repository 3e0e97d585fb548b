"""Answers of models that were asked before the present one: what they have answered stands, and nobody asks them any more."""

from __future__ import annotations

from dataclasses import dataclass

from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.batch_record import RequestsOut
from dmforge.generators.teacher.question_keys import EarlierKeys, TeacherQuestion, question_key
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, show


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """An answer to a question, and who gave it."""

    key: Id
    """Under which it stands in the journal."""
    answer: Answer
    model: str


class EarlierModel:
    """A model that was asked before, and its journal."""

    def __init__(self, config: TeacherConfig, workspace: WorkspaceFolder, stage: str) -> None:
        self._config, self._where = config, f"[stages.{stage}] earlier_models"
        self._journal = Journal(workspace, config.model, read_only=True)
        self._earlier_keys = EarlierKeys(config, workspace, stage)
        self._requests_out = RequestsOut(self._journal.folder, config.model)
        known = sorted(path.parent.name for path in workspace.journal.glob("*/*.jsonl") if path.stat().st_size)
        if known and not len(self._journal) and not self._requests_out:  # a misspelt name: all would be paid for again
            raise InputError(
                f"the journal holds no answer of {config.model!r}", where=self._where, hint=nearest(config.model, known)
            )

    def find(self, question: TeacherQuestion) -> KnownAnswer | None:
        """Its answer to a question. One that is still out in a batch is waited for first."""
        key = question_key(self._config, question)
        if (stored := self._journal.find(key)) is not None:
            return KnownAnswer(key, stored.answer, self._config.model)
        if (earlier := self._earlier_keys.find(self._journal, question)) is not None:
            return KnownAnswer(earlier.key, earlier.stored.answer, self._config.model)
        self._requests_out.refuse(show("ask", key), self._where)
        return None

    def close(self) -> None:
        self._journal.close()


class EarlierModels:
    """A teacher's `earlier_models`, in their order."""

    def __init__(self, config: TeacherConfig, workspace: WorkspaceFolder, stage: str) -> None:
        configs = [config.model_copy(update={"model": model}) for model in config.earlier_models]
        self._models = [EarlierModel(earlier, workspace, stage) for earlier in configs]

    def find(self, question: TeacherQuestion) -> KnownAnswer | None:
        """The answer of the first of them that has given one."""
        answers = (model.find(question) for model in self._models)
        return next((answer for answer in answers if answer is not None), None)

    def close(self) -> None:
        for model in self._models:
            model.close()
