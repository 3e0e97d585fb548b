"""A round as the trainer has it, for tests that look into one."""

from __future__ import annotations

from pathlib import Path

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.student.load_student import Student
from dmforge.trainers.sdgrpo.branches import Continuation, PromptGroup
from dmforge.trainers.sdgrpo.rollouts import PromptCollator, RolledOutGroup, roll_out_round, training_group
from dmforge.trainers.sdgrpo.sdgrpo_settings import SdgrpoSettings


def played(student: Student, practice: Path, settings: SdgrpoSettings, number: int = 0) -> list[RolledOutGroup]:
    """The first prompts of a corpus, rolled out."""
    corpus = Corpus(str(practice))
    prompts = PromptCollator(corpus.clips)([(example, 1) for example in corpus.read(range(settings.data.prompts))])
    return roll_out_round(TransformersEngine(student), prompts, number, settings)


def groups_of(rounds: list[RolledOutGroup], student: Student, settings: SdgrpoSettings) -> list[PromptGroup]:
    return [training_group(one, student.layout, settings) for one in rounds]


def branches_of(groups: list[PromptGroup]) -> list[Continuation]:
    return [branch for group in groups for branch in group.branches]
