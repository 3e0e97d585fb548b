"""Batches, killed anywhere: runs that send questions in batches, to a provider with faults, are SIGKILLed at random moments.

    python -m chaos.batch_kills --tasks 2000 --kills 20

The baseline, in the same run, asks the same questions one by one and undisturbed. What must hold: lake and shards end
byte-identical, and no question is submitted while a batch that was acknowledged holds it, or after one has answered it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from chaos.subjects import DMFORGE
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from tests.support.batch_provider import BatchProvider, taking_batches
from tests.support.tables import show

VIDEOS = 20
FAULT_SHARE = 0.05
KILLED_WITHIN_S = (0.5, 9.0)
RECIPE = """
name = "batches"
[clips]
coarse_frames = 8
coarse_tokens = 32
look_frames = 8
look_tokens = 32
[stages.ingest]
[stages.import]
[stages.annotate]
[stages.rules]
[stages.select_cot]
corpus = "cot"
[stages.pack]
[teacher]
model = "m"
base_url = "{url}"
retries = 50
"""
BATCHED = "batch = true\nbatch_requests = 400\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a workspace that was disturbed, beside one that wasn't."""

    kills: int
    faults: int
    batches: int
    submitted_again: int
    same_bytes: bool
    seconds: float
    calm_seconds: float


def batch_kills(tasks: int, kills: int, seed: int) -> Outcome:
    """Ask so many tasks one by one, and in batches with kills and faults."""
    with tempfile.TemporaryDirectory(prefix="dmforge-batches-") as name:
        folder, rng, books = Path(name), random.Random(seed), BatchProvider(FAULT_SHARE, seed, lasts_s=(0.5, 3.0))
        template = bring_in(folder, tasks)
        calm, disturbed = (shutil.copytree(template, folder / place) for place in ("calm", "disturbed"))
        started_s = time.monotonic()
        with taking_batches(BatchProvider()) as url:
            run(calm, RECIPE.format(url=url)).communicate()
        calm_seconds, started_s = time.monotonic() - started_s, time.monotonic()
        with taking_batches(books) as url:
            killed = disturb(disturbed, RECIPE.format(url=url) + BATCHED, kills, rng)
        seconds, faults = time.monotonic() - started_s, sum(books.seen_faults.values())
        is_same = files(calm) == files(disturbed)
        return Outcome(killed, faults, len(books.batches), len(books.again), is_same, seconds, calm_seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    options = parser.parse_args()
    outcome = batch_kills(options.tasks, options.kills, options.seed)
    rows = [
        ["one by one, undisturbed", options.tasks, 0, 0, 0, 0, round(outcome.calm_seconds), ""],
        [
            "in batches", options.tasks, outcome.kills, outcome.faults, outcome.batches, outcome.submitted_again,
            round(outcome.seconds), "identical" if outcome.same_bytes else "DIFFERENT",
        ],
    ]  # fmt: skip
    columns = ["run", "tasks", "kills", "faults", "batches", "submitted again", "s", "bytes of lake and shards"]
    command = f"python -m chaos.batch_kills --tasks {options.tasks} --kills {options.kills} --seed {options.seed}"
    show("Batches, killed anywhere", command, columns, rows)
    if outcome.submitted_again or not outcome.same_bytes:
        sys.exit(1)


def bring_in(folder: Path, tasks: int) -> Path:
    """A workspace with videos that are rendered and so many tasks about them."""
    make_worlds(folder, WorldSettings(videos=VIDEOS))
    place = folder / "ws"
    (place / "inputs").mkdir(parents=True)
    (place / "recipe.toml").write_text(RECIPE.format(url="http://127.0.0.1:9/v1"))
    names = sorted(path.name for path in (folder / "videos").iterdir())
    lines = [
        {"video": names[number % VIDEOS], "kind": "open", "question": f"What is number {number}?", "answer": str(number)}
        for number in range(tasks)
    ]
    (folder / "many.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for words in (["ingest", folder / "videos"], ["import", "jsonl", folder / "many.jsonl"], ["run", "--until", "import"]):
        subprocess.run(
            [*DMFORGE, *map(str, words), "-w", str(place)], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    return place


def run(place: Path, recipe: str) -> subprocess.Popen[str]:
    (place / "recipe.toml").write_text(recipe)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*DMFORGE, "run", "-w", str(place)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def disturb(place: Path, recipe: str, kills: int, rng: random.Random) -> int:
    """Run until all is done, killed so many times on the way; how often it was."""
    killed = 0
    while True:
        process = run(place, recipe)
        try:
            _, words = process.communicate(timeout=rng.uniform(*KILLED_WITHIN_S) if killed < kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
            print(f"killed {killed} times", file=sys.stderr, flush=True)
            continue
        if process.returncode == 0:
            return killed
        if process.returncode != 1:
            sys.exit(words)


def files(place: Path) -> dict[str, str]:
    """The files of lake and shards, with their sha256."""
    paths = [path for part in ("lake", "shards") for path in sorted((place / part).rglob("*")) if path.is_file()]
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


if __name__ == "__main__":
    main()
