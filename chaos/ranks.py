"""Several ranks on one folder, killed on the way: they must end with what one undisturbed run has made.

Compared are the logical digest of the lake, and every byte of media and shards: a lake's files are cut otherwise, by share.
No answer that stands in a journal is asked for again, and no answer was asked for by two ranks.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from chaos import subjects, undisturbed
from dmforge.commands import run
from dmforge.curation.lake.logical_digest import digest_of_all
from dmforge.curation.workspace_folder import WorkspaceFolder
from tests.support.tables import show

PATIENCE_S = 60


@dataclass
class Seen:
    """How it went."""

    kills: int
    seconds: float
    alone_s: float
    files: dict[str, int]
    """Compared byte for byte, by folder."""
    asked_twice: int
    writers: int


def ended(workspace: Path) -> dict[str, str]:
    """What must be the same whoever did the work."""
    kept = {f"{part}/{name}": sha256 for part in ("media", "shards") for name, sha256 in _files(workspace / part)}
    return kept | {"digest": digest_of_all(run.digest(WorkspaceFolder(workspace)))}


def start(workspace: Path, rank: int, world_size: int, environment: dict[str, str]) -> subprocess.Popen[str]:
    options = ("--rank", str(rank), "--world-size", str(world_size), "--wait-timeout", str(PATIENCE_S))
    return subprocess.Popen(
        [*subjects.DMFORGE, "run", "-w", str(workspace), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def run_by_rank(
    workspace: Path, subject: subjects.Subject, url: str, world_size: int, kills: int, rng: random.Random
) -> tuple[int, int]:
    """Every rank at once; some are killed and started again until enough were. How many kills, and questions asked twice."""
    environment = subject.environment(url)
    with ExitStack() as stack:

        def started(rank: int) -> subprocess.Popen[str]:
            process = start(workspace, rank, world_size, environment)
            stack.callback(process.kill)
            return process

        running = {rank: started(rank) for rank in range(world_size)}
        done, twice = 0, 0
        while any(process.poll() is None for process in running.values()):
            time.sleep(rng.uniform(0.2, 1.0))
            alive = [rank for rank, process in running.items() if process.poll() is None]
            if done < kills and alive:
                rank = rng.choice(alive)
                known = undisturbed.acknowledged(workspace)
                before = subject.asked(url)
                running[rank].kill()
                running[rank].wait()
                done += 1
                running[rank] = started(rank)
                time.sleep(rng.uniform(0.5, 2.0))
                twice += _asked_again(before, subject.asked(url), known)
        for rank, process in running.items():
            if process.wait():
                assert process.stderr is not None
                sys.exit(f"rank {rank} failed with {process.returncode}: {process.stderr.read()}")
    return done, twice


def measure(subject: subjects.Subject, world_size: int, kills: int, seed: int) -> Seen:
    """One run alone, and the same by ranks."""
    with tempfile.TemporaryDirectory(prefix="dmforge-ranks-") as folder:
        alone, shared = Path(folder) / "alone", Path(folder) / "shared"
        began_s = time.monotonic()
        with subject.serving() as url:
            subject.prepare(alone, url)
            if undisturbed.run(alone, subject.environment(url)).wait():
                sys.exit("the run alone failed")
        alone_s, began_s = time.monotonic() - began_s, time.monotonic()
        with subject.serving() as url:
            subject.prepare(shared, url)
            done, twice = run_by_rank(shared, subject, url, world_size, kills, random.Random(seed))
        seconds = time.monotonic() - began_s
        expected, actual = ended(alone), ended(shared)
        if actual != expected:
            differing = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
            sys.exit(f"seed {seed}: after {done} kills these differ: {differing[:5]}")
        writers = {path.stem for path in shared.glob("journal/*/*.jsonl")}
        counts = Counter(name.partition("/")[0] for name in expected if "/" in name)
        return Seen(done, seconds, alone_s, dict(counts), twice, len(writers))


def _asked_again(before: Counter[str], after: Counter[str], known: set[str]) -> int:
    again = {key for key in after if before[key] and after[key] > before[key]}
    if again & known:
        sys.exit(f"{len(again & known)} answers were in a journal and were asked for again: {sorted(again & known)[:3]}")
    return len(again)


def _files(folder: Path) -> list[tuple[str, str]]:
    return list(undisturbed.fingerprint(folder).items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world-size", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=1500)
    parser.add_argument("--chain", type=int, metavar="VIDEOS", help="the whole chain on so many worlds, instead of numbers")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-worlds-") as folder:
        subject = subjects.WholeChain(arguments.chain, Path(folder)) if arguments.chain else subjects.Rehearsal(arguments.tasks)
        seen = measure(subject, arguments.world_size, arguments.kills, arguments.seed)
    rows = [["ranks", arguments.world_size], ["kills", seen.kills], ["seconds alone", f"{seen.alone_s:.0f}"]]
    rows += [["seconds by rank, with the kills", f"{seen.seconds:.0f}"], ["questions answered twice", seen.asked_twice]]
    rows += [[f"files in {name}, byte-identical", number] for name, number in sorted(seen.files.items())]
    rows += [["writers in the journal", seen.writers], ["digest equal to that of one run", "yes"]]
    chosen = f" --chain {arguments.chain}" if arguments.chain else f" --tasks {arguments.tasks}"
    command = (
        f"python -m chaos.ranks --world-size {arguments.world_size}{chosen} --kills {arguments.kills} --seed {arguments.seed}"
    )
    show("By rank, killed, same corpus", command, ["what", "number"], rows)


if __name__ == "__main__":
    main()
