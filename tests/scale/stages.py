"""A stage that says what it sees of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

from dmforge.curation.contract.stage import Batch, BatchConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.curation.engine.rehearsal import RehearsalNumber
from dmforge.schemas.records import Verdict


class Seeing(Batch[RehearsalNumber, Verdict]):
    name, version = "seeing", 1
    config: BatchConfig

    def process(self, items: Iterator[RehearsalNumber]) -> Iterator[Result]:
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        for seed in items:
            yield Made((Verdict(seed.video, seed.id, "task", "seeing", 1.0, 1, gpus),))
