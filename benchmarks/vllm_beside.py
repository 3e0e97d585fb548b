"""What it takes vLLM to follow a student, and how far apart what it draws from is from what the trainer finds.

    .venv-vllm/bin/python -m benchmarks.vllm_beside

The trainer judges what vLLM writes three times: at the beginning, after the student alone has changed, and after vLLM has
followed. `make test-vllm` makes the environment.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import torch

from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.engine_settings import VllmSettings
from dmforge.generators.inference.engines.weight_sync import WeightSyncEngine
from dmforge.generators.inference.retrace import log_probs, retrace
from dmforge.generators.inference.rollout import RolloutRequest, prompt_of, roll
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.weights import weights_of
from dmforge.schemas.transcript import COARSE
from dmforge.trainers.batches import logits_of, pack
from dmforge.trainers.sdgrpo.importance_sampling import importance_ratios
from tests.support.tables import show
from tests.support.taught import QUESTION, Tinted, taught_folder

ROLLOUTS, SYNCS, TEMPERATURE = 16, 7, 0.7


def apart(engine: WeightSyncEngine, student: Student) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of what the engine writes now, the trainer's and its own."""
    footage = Tinted("red", "blue", Fraction(48), 7)
    prompt = prompt_of((COARSE, QUESTION), footage)
    rolled = roll(engine, [RolloutRequest(prompt, footage, Sampling(TEMPERATURE, seed, 48)) for seed in range(ROLLOUTS)])
    found: list[torch.Tensor] = []
    for one in rolled:
        laid = retrace(one, footage, student.layout)
        with torch.no_grad():
            logits = logits_of(student.model, replace(pack([laid]), learnt_columns=torch.arange(len(laid) - 1)))[0]
        told = torch.log_softmax(logits / TEMPERATURE, -1).gather(1, torch.from_numpy(laid.ids[1:])[:, None])[:, 0]
        found.append(told[torch.from_numpy(laid.trained[1:])])
    return torch.cat(found), torch.cat([torch.from_numpy(log_probs(one)) for one in rolled])


def change(student: Student) -> None:
    """By a tenth of what weights are on average."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in student.model.parameters():
            weights += 0.1 * weights.abs().mean() * torch.randn(weights.shape, generator=generator)


def measured(checkpoint: Path, weights: Literal["float32", "bfloat16"]) -> list[list[str]]:
    settings = VllmSettings(
        kind="vllm",
        weights=weights,
        max_num_seqs=8,
        max_model_len=1024,
        max_num_batched_tokens=1024,
        cache_gb=0.005,
        compiled=False,
        start_timeout_s=600,
    )
    student = load(str(checkpoint))
    engine = WeightSyncEngine(settings, student)
    try:
        engine.follow(student)
        states = {"as it began": apart(engine, student)}
        change(student)
        states["changed"] = apart(engine, student)
        engine.follow(student)
        states["followed"] = apart(engine, student)
        took_s: list[float] = []
        for _ in range(SYNCS):
            began_s = time.perf_counter()
            engine.follow(student)
            took_s.append(time.perf_counter() - began_s)
    finally:
        engine.close()
    size = sum(one.parameter.numel() for one in weights_of(student.model).values())
    print(f"{weights}: {size:,} weights, {len(states['followed'][0])} tokens in {ROLLOUTS} rollouts")
    rows: list[list[str]] = []
    for state, (found, drawn) in states.items():
        off, weighed = (found - drawn).abs(), importance_ratios(found, drawn)
        told = f"{statistics.median(took_s):.2f}" if state == "followed" else ""
        rows.append(
            [weights, state, f"{float(off.mean()):.1e}", f"{float(off.max()):.1e}", f"{float(weighed.max()):.4f}", told]
        )
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as told:
        checkpoint = taught_folder(Path(told) / "checkpoint")
        rows = [row for weights in ("float32", "bfloat16") for row in measured(checkpoint, weights)]
    columns = ("vLLM computes in", "student", "off, mean", "off, most", "largest ratio", "sync s, median")
    show("vLLM beside the trainer", "python -m benchmarks.vllm_beside", columns, rows)


if __name__ == "__main__":
    main()
