"""A round as the trainer has it, for tests that look into one."""

from __future__ import annotations

from pathlib import Path

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.engines.transformers import TransformersEngine
from dmforge.generators.student.load import Student
from dmforge.trainers.branches import Branch, Group
from dmforge.trainers.practice import Played, Prompts, roll_out_round, training_group
from dmforge.trainers.sdgrpo_settings import SdgrpoSettings


def played(student: Student, practice: Path, settings: SdgrpoSettings, number: int = 0) -> list[Played]:
    """The first prompts of a corpus, rolled out."""
    corpus = Corpus(str(practice))
    prompts = Prompts(corpus.clips)([(example, 1) for example in corpus.read(range(settings.data.prompts))])
    return roll_out_round(TransformersEngine(student), prompts, number, settings)


def groups_of(rounds: list[Played], student: Student, settings: SdgrpoSettings) -> list[Group]:
    return [training_group(one, student.layout, settings) for one in rounds]


def branches_of(groups: list[Group]) -> list[Branch]:
    return [branch for group in groups for branch in group.branches]
