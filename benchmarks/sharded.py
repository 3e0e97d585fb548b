"""What does FSDP2 change: of what is learnt nothing, of memory a share for each rank, of time what gathering costs?

A student of two layers of the 4B's width is trained from one checkpoint, by one process, and by two and three that hold the
whole each or a part each. Each rank says the most memory that it ever had, and the first one how long an update took.

    python -m benchmarks.sharded --folder sharded
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, TrainerCallback

from benchmarks.memory import config_of
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.load_student import Student
from dmforge.generators.student.tiny import make_tiny
from dmforge.trainers import sft
from dmforge.trainers.training_settings import read_sft
from tests.support import flicker
from tests.support.rank_processes import begin_ranks
from tests.support.tables import show

COMMAND = "python -m benchmarks.sharded"
CASES = ((1, "ddp"), (2, "ddp"), (2, "fsdp2"), (3, "ddp"), (3, "fsdp2"))
UPDATES = 3


class Watch(TrainerCallback):
    """How long each update takes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._began = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self._began)


def prepare(folder: Path) -> None:
    """A corpus, and a student with random weights."""
    corpus = flicker.cot(folder / "cot", 16, 1, flicker.EXACT)
    texts = [piece.text for example in Corpus(str(corpus)).read(range(16)) for piece in example.sample.transcript.pieces]
    student = make_tiny("speck", [text for text in texts if text], 0)
    torch.manual_seed(0)
    student.model = AutoModelForImageTextToText.from_config(config_of(student.vocabulary, 2))
    Student(student.model, student.vocabulary, "wide").save(folder / "student")


def trained(folder: Path, ranks: int, shard: str) -> None:
    """One rank's training; what it says is one line."""
    torch.set_num_threads(1)
    watch = Watch()
    settings: dict[str, Any] = {
        "out": str(folder / f"{shard}-{ranks}"), "model": {"checkpoint": str(folder / "student")},
        "data": {"corpora": [{"place": str(folder / "cot")}], "max_samples": 6, "workers": 0},
        "training": {"steps": UPDATES, "learning_rate": 1e-4, "shard": shard},
        "saving": {"device": "cpu", "log_every": 1},
    }  # fmt: skip
    sft.train(read_sft(settings), [watch])
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(json.dumps({"peak_mb": peak_mb, "seconds": min(watch.seconds)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where some gigabytes may lie")
    parser.add_argument("--rank-of", nargs=2, metavar=("RANKS", "SHARD"), help="be one rank of a training")
    arguments = parser.parse_args()
    if arguments.rank_of:
        trained(arguments.folder, int(arguments.rank_of[0]), arguments.rank_of[1])
        return
    prepare(arguments.folder)
    rows: list[list[object]] = []
    for ranks, shard in CASES:
        words = ["--folder", str(arguments.folder), "--rank-of", str(ranks), shard]
        ends = [process.communicate()[0] for process in begin_ranks("benchmarks.sharded", words, ranks)]
        figures = [json.loads(end) for end in ends]
        log = (arguments.folder / f"{shard}-{ranks}/log.jsonl").read_text().splitlines()
        losses = [entry["loss"] for entry in map(json.loads, log) if "loss" in entry]
        peaks = ", ".join(str(figure["peak_mb"]) for figure in figures)
        rows.append(
            [ranks, shard if ranks > 1 else "", *(f"{loss:.6f}" for loss in losses), f"{figures[0]['seconds']:.1f}", peaks]
        )
        print(rows[-1], file=sys.stderr, flush=True)
    columns = ["ranks", "shard", *(f"loss {step + 1}" for step in range(UPDATES)), "s an update", "peak of each rank, MB"]
    show("Two layers of the 4B's width, by ranks", COMMAND, columns, rows)


if __name__ == "__main__":
    main()
