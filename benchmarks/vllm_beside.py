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
from dmforge.generators.student.named_weights import weights_of
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
    rollouts = roll(engine, [RolloutRequest(prompt, footage, Sampling(TEMPERATURE, seed, 48)) for seed in range(ROLLOUTS)])
    trainer_log_probs: list[torch.Tensor] = []
    for rollout in rollouts:
        row = retrace(rollout, footage, student.layout)
        with torch.no_grad():
            logits = logits_of(student.model, replace(pack([row]), learnt_columns=torch.arange(len(row) - 1)))[0]
        token_log_probs = torch.log_softmax(logits / TEMPERATURE, -1).gather(1, torch.from_numpy(row.ids[1:])[:, None])[:, 0]
        trainer_log_probs.append(token_log_probs[torch.from_numpy(row.trained[1:])])
    return torch.cat(trainer_log_probs), torch.cat([torch.from_numpy(log_probs(rollout)) for rollout in rollouts])


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
    size = sum(entry.parameter.numel() for entry in weights_of(student.model).values())
    print(f"{weights}: {size:,} weights, {len(states['followed'][0])} tokens in {ROLLOUTS} rollouts")
    rows: list[list[str]] = []
    for state, (by_trainer, by_engine) in states.items():
        off, weighed = (by_trainer - by_engine).abs(), importance_ratios(by_trainer, by_engine)
        sync_s = f"{statistics.median(took_s):.2f}" if state == "followed" else ""
        rows.append(
            [weights, state, f"{float(off.mean()):.1e}", f"{float(off.max()):.1e}", f"{float(weighed.max()):.4f}", sync_s]
        )
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = taught_folder(Path(folder) / "checkpoint")
        rows = [row for weights in ("float32", "bfloat16") for row in measured(checkpoint, weights)]
    columns = ("vLLM computes in", "student", "off, mean", "off, most", "largest ratio", "sync s, median")
    show("vLLM beside the trainer", "python -m benchmarks.vllm_beside", columns, rows)


if __name__ == "__main__":
    main()
