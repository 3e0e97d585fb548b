"""Real engines for the tests of `make test-vllm`: one taught student, in this process, in vLLM's, and behind an address.

None of these tests skips: where vLLM is missing or does not start, they fail.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.engine_settings import VllmSettings
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.engines.vllm_engine import VllmEngine, open_vllm
from dmforge.generators.inference.rollout import RolloutRequest, prompt_of
from dmforge.generators.student.load_student import load
from dmforge.schemas.looks import Look
from dmforge.schemas.transcript import COARSE
from tests.support.taught import QUESTION, Tinted, taught_folder

WATCHED = Path(__file__).parent / "lane" / "watched.py"
ROOT = Path(__file__).parents[2]
SMALL = VllmSettings(
    kind="vllm",
    weights="float32",
    max_num_seqs=4,
    max_model_len=1024,
    max_num_batched_tokens=1024,
    max_looks=3,
    cache_gb=0.003,
    compiled=False,
    start_timeout_s=280,
)
"""A cache for about 6,000 tokens: only a good order of rows can make use of it."""


def quests(footage: Tinted, seeds: Sequence[int], temperature: float = 0.7, forced: Look | None = None) -> list[RolloutRequest]:
    """Rollouts of one video."""
    prompt = prompt_of((COARSE, QUESTION), footage)
    return [RolloutRequest(prompt, footage, Sampling(temperature, seed, 48), forced) for seed in seeds]


@dataclass
class Watched:
    """vLLM, and the frames that its vision tower was given."""

    engine: VllmEngine
    report: Path

    def seen(self) -> list[list[int]]:
        """The frame numbers of each clip since the last call."""
        lines = self.report.read_text().splitlines() if self.report.exists() else []
        self.report.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught_folder(tmp_path_factory.mktemp("taught"))


@pytest.fixture(scope="session")
def here(checkpoint: Path) -> TransformersEngine:
    """The engine that all others are compared with."""
    return TransformersEngine(load(str(checkpoint)))


def watch_command(report: Path) -> tuple[str, ...]:
    """The command of an engine process that writes the frames that it sees to `report`."""
    # the script lies under tests/: without this, only its own folder would be searched for modules
    os.environ["PYTHONPATH"] = str(ROOT)
    return sys.executable, str(WATCHED), str(report)


@contextmanager
def watching(checkpoint: Path, folder: Path, **changes: float) -> Generator[Watched]:
    report = folder / "seen.jsonl"
    engine = open_vllm(SMALL.model_copy(update=changes), str(checkpoint), command=watch_command(report))
    try:
        yield Watched(engine, report)
    finally:
        engine.close()


@pytest.fixture(scope="session")
def watched(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Watched]:
    with watching(checkpoint, tmp_path_factory.mktemp("watched")) as engine:
        yield engine
