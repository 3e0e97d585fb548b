"""What rollouts of one video share in vLLM, and what that is worth beside the engine in this process.

    .venv-vllm/bin/python -m benchmarks.vllm_reuse

Eight rollouts of each of a few videos, given in an order in which rows of one video lie far apart, with a cache that holds few
videos. `make test-vllm` makes the environment.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from dmforge.generators.inference.engines.engine import Engine, Sampling
from dmforge.generators.inference.engines.engine_settings import VllmSettings
from dmforge.generators.inference.engines.remote_rows import GenerationCosts
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.engines.vllm_engine import open_vllm
from dmforge.generators.inference.rollout import RolloutRequest, RolloutResult, prompt_of, roll
from dmforge.generators.student.load_student import load
from dmforge.schemas.transcript import COARSE
from tests.support.taught import QUESTION, Tinted, taught_folder

VIDEOS, ROLLOUTS = 8, 8
SETTINGS = VllmSettings(
    kind="vllm",
    weights="float32",
    max_num_seqs=8,
    max_model_len=1024,
    max_num_batched_tokens=1024,
    cache_gb=0.005,
    compiled=False,
    start_timeout_s=600,
)
ROOT = Path(__file__).parents[1]
WATCHED = ROOT / "tests" / "vllm" / "lane" / "watched.py"


def rollout_requests() -> list[RolloutRequest]:
    """All rollouts, one of each video in turn."""
    by_video: list[list[RolloutRequest]] = []
    for at in range(VIDEOS):
        footage = Tinted(("red", "blue")[at % 2], "red", Fraction(48), 100 * at)
        prompt = prompt_of((COARSE, QUESTION), footage)
        by_video.append([RolloutRequest(prompt, footage, Sampling(0.7, seed, 48)) for seed in range(ROLLOUTS)])
    return [row[at] for at in range(ROLLOUTS) for row in by_video]


def timed(engine: Engine, quests: list[RolloutRequest]) -> tuple[list[RolloutResult], float]:
    began_s = time.monotonic()
    return roll(engine, quests), time.monotonic() - began_s


def line(name: str, tally: GenerationCosts) -> None:
    print(f"{name:<12} {tally.requests:>6} {tally.tokens:>10} {tally.cached:>10} {tally.cached / max(tally.tokens, 1):>8.1%}")


def main() -> None:
    os.environ["PYTHONPATH"] = str(ROOT)  # the script lies in tests/, and so would its folder alone be searched for modules
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = taught_folder(Path(folder) / "checkpoint")
        report = Path(folder) / "seen.jsonl"
        engine = open_vllm(SETTINGS, str(checkpoint), command=(sys.executable, str(WATCHED), str(report)))
        roll(engine, rollout_requests()[:1])  # starts it
        report.unlink()
        first, later = replace(engine.tallies.first), replace(engine.tallies.later)
        results, there_s = timed(engine, rollout_requests())
        clips = report.read_text().splitlines()
        engine.close()
        expected, here_s = timed(TransformersEngine(load(str(checkpoint))), rollout_requests())
    same = [row.transcript for row in results] == [row.transcript for row in expected]
    tallies = engine.tallies
    print(f"{'legs':<12} {'legs':>6} {'tokens':>10} {'cached':>10} {'share':>8}")
    line("first", _since(tallies.first, first))
    line("behind a look", _since(tallies.later, later))
    looks = len({(row.looks[0], at % VIDEOS) for at, row in enumerate(results) if row.looks})
    print(f"{len(clips)} clips encoded for {VIDEOS} videos with {looks} different looks; {VIDEOS * ROLLOUTS} rollouts")
    print(f"vLLM {there_s:.1f} s, transformers in this process {here_s:.1f} s; the same transcripts: {same}")


def _since(after: GenerationCosts, before: GenerationCosts) -> GenerationCosts:
    return GenerationCosts(after.requests - before.requests, after.tokens - before.tokens, after.cached - before.cached)


if __name__ == "__main__":
    main()
