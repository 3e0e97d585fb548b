"""A stage that says what it sees of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

from dmforge.curation.settled import Made, Result
from dmforge.curation.stage import Batch, BatchConfig
from dmforge.curation.trial import Seed
from dmforge.schemas.records import Verdict


class Seeing(Batch[Seed, Verdict]):
    name, version = "seeing", 1
    config: BatchConfig

    def process(self, items: Iterator[Seed]) -> Iterator[Result]:
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        for seed in items:
            yield Made((Verdict(seed.video, seed.id, "task", "seeing", 1.0, 1, gpus),))
