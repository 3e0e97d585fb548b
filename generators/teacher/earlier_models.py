"""Answers of models that were asked before the present one: what they have answered stands, and nobody asks them any more."""

from __future__ import annotations

from dataclasses import dataclass

from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.batch_record import refuse_requests_out
from dmforge.generators.teacher.question_keys import EarlierKeys, TeacherQuestion, question_key
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """An answer to a question, and who gave it."""

    key: Id
    """Under which it stands in the journal."""
    answer: Answer
    model: str


def refuse_unknown(workspace: WorkspaceFolder, journal: Journal, model: str, where: str) -> None:
    """Refuse a model that has answered nothing here, where others have: its name is misspelt, and all would be paid again."""
    known = sorted(path.parent.name for path in workspace.journal.glob("*/*.jsonl") if path.stat().st_size)
    if known and not len(journal):
        raise InputError(f"the journal holds no answer of {model!r}", where=where, hint=nearest(model, known))


class EarlierModels:
    """The journals of a teacher's `earlier_models`, in their order."""

    def __init__(self, config: TeacherConfig, workspace: WorkspaceFolder, stage: str, *, journal_only: bool = False) -> None:
        self._models = [
            (earlier, Journal(workspace, earlier.model, read_only=True), EarlierKeys(earlier, workspace, stage))
            for model in config.earlier_models
            for earlier in [config.model_copy(update={"model": model})]
        ]
        for earlier, journal, _ in self._models:
            refuse_unknown(workspace, journal, earlier.model, f"[stages.{stage}] earlier_models")
        for earlier, journal, _ in self._models if not journal_only else ():
            refuse_requests_out(journal.folder, earlier.model, f"[stages.{stage}] earlier_models")

    def find(self, question: TeacherQuestion) -> KnownAnswer | None:
        """The answer of the first of them that has given one."""
        for config, journal, earlier_keys in self._models:
            key = question_key(config, question)
            if (stored := journal.find(key)) is not None:
                return KnownAnswer(key, stored.answer, config.model)
            if (earlier := earlier_keys.find(journal, question)) is not None:
                return KnownAnswer(earlier.key, earlier.stored.answer, config.model)
        return None

    def close(self) -> None:
        for _, journal, _ in self._models:
            journal.close()
