"""The process of an engine, with eyes and ears for tests: the very vLLM, which writes down what its vision tower is given, and
which can be told to die, or to stand still, over a row.

    python watched.py REPORT CONNECTION
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from dmforge.generators.inference.engines.messages import DropAll, GenerateWithClips, ReloadWeights, StartEngine
from dmforge.generators.inference.engines.vllm_process import EngineCore, serve
from tests.student.students import frame_numbers
from tests.vllm.lane.seeds import DEADLY, NUMBING

REPORT = Path(sys.argv[1])


class Watched(EngineCore):
    def __init__(self, start: StartEngine) -> None:
        super().__init__(start)
        tower = self.engine.model_executor.driver_worker.worker.model_runner.get_model().visual
        tower.register_forward_pre_hook(_see, with_kwargs=True)

    def take(self, message: GenerateWithClips | DropAll | ReloadWeights) -> None:
        if isinstance(message, GenerateWithClips) and message.request.seed == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        stood = REPORT.with_suffix(".stood")
        if isinstance(message, GenerateWithClips) and message.request.seed == NUMBING and not stood.exists():
            stood.touch()
            time.sleep(600)
        super().take(message)


def _see(tower: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
    pixels = tower.input_norm(given[0] if given else named["x"], tower.dtype)  # its first step; bytes until then
    grids = torch.as_tensor(given[1] if len(given) > 1 else named["grid_thw"])
    with REPORT.open("a") as report:
        for numbers in frame_numbers(pixels, grids):
            report.write(json.dumps(numbers) + "\n")


if __name__ == "__main__":
    serve(Connection(int(sys.argv[2])), Watched)
