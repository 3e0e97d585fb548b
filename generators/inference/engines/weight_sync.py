"""vLLM in processes beside a trainer: it generates with the student's current weights, and keeps nothing that older ones
made.

Its checkpoint is a folder whose weights are renewed before each round. A process that is there reads them again, as vLLM reads
a checkpoint; one that had died, and is started anew, reads them as well. So there is no way to generate with old weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dmforge.generators.inference.engines.engine_settings import VllmSettings
from dmforge.generators.inference.engines.vllm_engine import COMMAND, VllmEngine, require_vllm, room_of, worker_specs_of
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.weights import LiveCheckpoint
from dmforge.schemas.dialects.dialect_name import DialectName


class WeightSyncEngine(VllmEngine):
    """A vLLM engine whose weights follow those of a student in training."""

    def __init__(self, settings: VllmSettings, student: Student, first_gpu: int = 0, command: Sequence[str] = COMMAND) -> None:
        """`first_gpu` is the index of the GPU that its first process takes."""
        require_vllm()
        self._live = LiveCheckpoint(student, getattr(torch, settings.weights))
        worker_specs = worker_specs_of(settings, str(self._live.path), command, first_gpu)
        super().__init__(student.vocabulary, worker_specs, room_of(settings))

    def follow(self, student: Student) -> None:
        """Load the student's current weights. Rows that are still on their way are given up."""
        self._live.renew(student)
        self.pool.renew()

    def close(self) -> None:
        super().close()
        self._live.close()


def open_merged(settings: VllmSettings, checkpoint: str, dialect: DialectName) -> WeightSyncEngine:
    """An engine with a checkpoint that vLLM can't read as it is: adapters are merged here, experts are turned as published ones
    lie, and vLLM reads the whole from memory."""
    require_vllm()
    student = load(checkpoint, getattr(torch, settings.weights), dialect=dialect)
    engine = WeightSyncEngine(settings, student)
    engine.follow(student)
    return engine
