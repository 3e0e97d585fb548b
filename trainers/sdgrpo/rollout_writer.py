"""The engine that writes the rollouts of a training: the student that is trained, or vLLM beside it with its weights."""

from __future__ import annotations

from typing import Protocol

from dmforge.generators.inference.engines.engine import Engine
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.student.load_student import Student
from dmforge.trainers.sdgrpo.sdgrpo_settings import InProcessSettings, SdgrpoSettings


class RolloutWriter(Engine, Protocol):
    """An engine that can take over the student's current weights. `importance_cap` corrects for an engine whose arithmetic
    differs from the trainer's."""

    def follow(self, student: Student) -> None:
        """Take over the student's current weights; called before each round."""
        ...


class InProcessWriter(TransformersEngine):
    """The writer that uses the very model that is trained."""

    def follow(self, student: Student) -> None:
        assert student is self.student, "it follows itself"


def writer_of(student: Student, settings: SdgrpoSettings, local_rank: int) -> RolloutWriter:
    """The writer that the settings name."""
    if isinstance(settings.engine, InProcessSettings):
        return InProcessWriter(student)
    from dmforge.generators.inference.engines.weight_sync import WeightSyncEngine

    return WeightSyncEngine(settings.engine, student, first_gpu=local_rank * settings.engine.processes)
