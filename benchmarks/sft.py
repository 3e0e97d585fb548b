"""Is packing worth what it promises, and does the model wait for its data?

Packing: transcripts of very different lengths, forward and backward, in one row and as padded rows; CPU seconds on one thread.
Padded rows spend the share of padding on nothing: counted in tokens, packing can be 1 / (1 - share) times as fast.
Attention gains more, since that of a padded row costs the square of the longest.

Waiting: a training by the real trainer from real shards, decoded by one worker beside the model; the share of time in which the
model had no batch, without the first updates. Corpora are made by the whole chain, from worlds of the size.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks.injection import clip, noise
from dmforge.commands import intake, pack_corpus, run
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.footage import PromptPiece
from dmforge.generators.student.load_student import Student
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.student.token_layout import LaidOutTranscript
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.generators.teacher.teacher_config import URL
from dmforge.schemas.transcript import COARSE, Piece
from dmforge.trainers.batches import ForwardBatch, logits_of, pack, pad, summed_loss
from tests.support.tables import show as show_table

COMMAND = "python -m benchmarks.sft"
MIN_OF_BOUND, MAX_WAITING = 0.9, 0.05
SIZES = ((32, 32), (416, 224))
WARM_UP = 5
"""Updates that are left out."""
TRAINING = """out = "{out}"
[model]
from_config = "tiny"
[data]
corpora = [{{ place = "{place}" }}]
max_tokens = {tokens}
verify = false
[training]
steps = {steps}
[saving]
device = "cpu"
log_every = 1
save_every = 100000
"""


def transcripts(student: Student, number: int) -> list[LaidOutTranscript]:
    """Of 8 to 64 coarse frames and a look."""
    draw = np.random.default_rng(3)
    laid_out: list[LaidOutTranscript] = []
    for seed in range(number):
        coarse = noise(int(draw.integers(4, 33)) * 2, seed, 2)
        words = Piece("policy", f"<think>{'It flashes. ' * int(draw.integers(1, 9))}<span>1.00 - 5.00</span><fps>4</fps>")
        pieces = (
            PromptPiece(COARSE, coarse),
            PromptPiece(Piece("prompt", "Which?")),
            PromptPiece(words),
            clip(seed),
            PromptPiece(Piece("policy", "Red.")),
        )
        laid_out.append(student.layout.join(student.layout.transcript(pieces)))
    return laid_out


def step_s(student: Student, batch: ForwardBatch, times: int) -> float:
    """CPU seconds of forward and backward."""
    took: list[float] = []
    for _ in range(times + 1):
        began = time.process_time()
        (summed_loss(logits_of(student.model, batch), batch) / batch.items).backward()
        student.model.zero_grad()
        took.append(time.process_time() - began)
    return statistics.median(took[1:])


def packing(number: int, times: int) -> list[object]:
    """Both ways, and what packing could gain at most."""
    student = make_tiny("tiny", ["Which colour flashes? It flashes. Red."])
    student.model.train()
    laids = transcripts(student, number)
    tokens, longest = sum(map(len, laids)), max(map(len, laids))
    share = 1 - tokens / (number * longest)
    packed_s = step_s(student, pack(laids), times)
    padded_s = step_s(student, pad(laids, student.vocabulary.padding), times)
    gain, bound = padded_s / packed_s, 1 / (1 - share)
    rates = [f"{tokens / s:,.0f}" for s in (padded_s, packed_s)]
    return [number, f"{share:.2f}", *rates, f"{gain:.2f}", f"{bound:.2f}", f"{gain / bound:.2f}", MIN_OF_BOUND]


def corpus(folder: Path, videos: int, size: tuple[int, int]) -> Path:
    """Shards whose frames, coarse and of looks, are this large."""
    width, height = (max(64, side) for side in size)
    worlds, workspace = folder / "worlds", WorkspaceFolder(folder / "workspace")
    make_worlds(worlds, WorldSettings(videos=videos, width=width, height=height))
    run.init(workspace.root, "demo")
    cells = size[0] // 32 * (size[1] // 32)
    recipe = workspace.recipe.read_text()
    # a budget of so many visual tokens for so many frames makes frames of this size: worlds last 12 s, so 24 coarse frames
    frames = int(worlds_duration_s(worlds) * 2)
    recipe = recipe.replace("coarse_tokens = 12288", f"coarse_tokens = {cells * frames // 2}")
    recipe = recipe.replace("look_tokens = 8192", f"look_tokens = {cells * 32}")
    workspace.recipe.write_text(recipe)
    intake.add_videos(workspace, "benchmark", [str(worlds / "videos")], SourceInfo("worlds", "CC0-1.0", namespace="worlds"))
    intake.add_annotations(workspace, "benchmark", "jsonl", [worlds / "tasks.jsonl"])
    with serving(worlds, Behaviour(), folder / "planted.jsonl") as url:
        os.environ[URL] = url
        list(run.run(workspace, Console(stderr=True, quiet=True), "benchmark"))
    (place,) = pack_corpus.corpora(workspace)
    return place


def worlds_duration_s(worlds: Path) -> Fraction:
    """What every world lasts."""
    return Fraction(json.loads((worlds / "truth.jsonl").read_text().splitlines()[0])["duration_s"])


def waiting(folder: Path, size: tuple[int, int], videos: int, steps: int) -> list[object]:
    """A training of a tiny student."""
    place = corpus(folder, videos, size)
    path = folder / "sft.toml"
    tokens = 2_500 if size == SIZES[0] else 12_000
    path.write_text(TRAINING.format(out=folder / "out", place=place, tokens=tokens, steps=steps))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dmforge.cli", "train", "sft", str(path), "--json"]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    lines = [json.loads(line) for line in (folder / "out" / "log.jsonl").read_text().splitlines()]
    updates = [line for line in lines if "loss" in line][WARM_UP:]
    share = statistics.mean(line["waiting"] for line in updates)
    rate = statistics.median(line["tokens_per_s"] for line in updates)
    return [f"{size[0]}x{size[1]}", steps, f"{rate:,.0f}", f"{share:.3f}", MAX_WAITING if size == SIZES[0] else "-"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--steps", type=int, default=25)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [packing(number, arguments.times) for number in (8, 16)]
    columns = ["transcripts", "padding", "tokens/s padded", "tokens/s packed", "x", "bound", "of bound", "wanted"]
    show_table("Packing", f"{COMMAND} --times {arguments.times}", columns, rows)
    with tempfile.TemporaryDirectory(prefix="dmforge-sft-") as scratch:
        shares = [waiting(Path(scratch, str(size[0])), size, arguments.videos, arguments.steps) for size in SIZES]
    command = f"{COMMAND} --videos {arguments.videos} --steps {arguments.steps}"
    columns = ["frames", "updates", "tokens/s", "share of time waited", "wanted, at most"]
    show_table("Waiting for data, one worker", command, columns, shares)


if __name__ == "__main__":
    main()
