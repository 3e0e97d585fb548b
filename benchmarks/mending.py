"""Does practice mend what imitation has learnt wrong? And what does an update cost?

A small student from scratch learns by SFT from a teacher whose windows are too wide, whose density is too low where it matters
and whose answers are wrong now and then (benchmarks/flicker.py); then by SD-GRPO, decoupled, from rewards that are exact. The
real trainers, from real shards; greedy on worlds that neither has seen. Everything is drawn anew for each seed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import flicker
from benchmarks.tables import show
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.tiny import SHAPES, make_student

COMMAND = "python -m benchmarks.mending"
SHAPE = SHAPES["mote"]

SFT = """out = "sft"
[model]
checkpoint = "./start"
[data]
corpora = [{{ place = "taught" }}]
most_tokens = 100000
most_samples = 16
[training]
steps = {steps}
learning_rate = 2e-3
warmup_steps = 40
weight_decay = 0.01
seed = {seed}
[saving]
device = "cpu"
"""
RL = """out = "{out}"
[model]
checkpoint = "./sft/checkpoint-{steps}"
[data]
corpora = [{{ place = "practice" }}]
prompts = 16
workers = 0
[rollout]
temperature = 1.0
most_tokens = 48
[training]
steps = {updates}
learning_rate = 3e-4
warmup_steps = 5
betas = [0.9, 0.95]
beta = 0.0
holistic = 0.0
normalise = "{normalise}"
most_tokens = 100000
seed = {seed}
[saving]
device = "cpu"
log_every = 1
save_every = {every}
keep = 99
"""
EVALUATION = """checkpoint = "./{checkpoint}"
corpora = ["held_out"]
device = "cpu"
batch_rows = 64
[roll]
most_tokens = 48
"""


def run(folder: Path, *words: str) -> tuple[dict[str, Any], float]:
    """What a command prints, and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "dmforge.cli", *words, "--json"]
    told = subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(told.stdout), after.ru_utime - before.ru_utime


def evaluated(folder: Path, checkpoint: str, name: str, cpu_s: float) -> list[object]:
    (folder / "evaluate.toml").write_text(EVALUATION.format(checkpoint=checkpoint))
    told = run(folder, "evaluate", "evaluate.toml")[0]["metrics"]
    low, high = told["intervals"]["miou"]
    figures = [f"{told[key]:.3f}" for key in ("format", "accuracy", "density_error")]
    return [name, f"{cpu_s:.0f}", f"{told['miou']:.3f} ({low:.3f} - {high:.3f})", *figures]


def mended(folder: Path, seed: int, worlds: int, steps: int, updates: int) -> list[list[object]]:
    """SFT, then both ways to weigh tokens, half-way and at the end."""
    flicker.cot(folder / "taught", worlds, 3 * seed + 1, flicker.BIASED)
    flicker.rl(folder / "practice", 16 * updates, 3 * seed + 2)
    flicker.rl(folder / "held_out", 128, 3 * seed + 3)
    corpus = Corpus(str(folder / "taught"))
    texts = [p.text for one in corpus.read(range(min(1000, worlds))) for p in one.sample.transcript.pieces if p.text]
    make_student(SHAPE, texts, seed).save(folder / "start")
    (folder / "sft.toml").write_text(SFT.format(steps=steps, seed=seed))
    _, cpu_s = run(folder, "train", "sft", "sft.toml")
    rows = [evaluated(folder, f"sft/checkpoint-{steps}", f"SFT, {steps} steps", cpu_s)]
    every = max(1, updates // 2)
    for normalise in ("rollout", "batch"):
        told = {"updates": updates, "steps": steps, "seed": seed, "every": every, "normalise": normalise, "out": normalise}
        (folder / "rl.toml").write_text(RL.format(**told))
        _, cpu_s = run(folder, "train", "sdgrpo", "rl.toml")
        for done in (every, updates):
            name = f"and {done} updates, tokens weighed by {normalise}"
            rows.append(evaluated(folder, f"{normalise}/checkpoint-{done}", name, cpu_s * done / updates))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worlds", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=940)
    parser.add_argument("--updates", type=int, default=40)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-mending-") as folder:
        rows = mended(Path(folder), told.seed, told.worlds, told.steps, told.updates)
    command = f"{COMMAND} --seed {told.seed} --worlds {told.worlds} --steps {told.steps} --updates {told.updates}"
    columns = ["student", "CPU s, loading included", "mIoU", "format", "accuracy", "density error, fps"]
    show("What practice mends", command, columns, rows)


if __name__ == "__main__":
    main()
