"""Reading and shuffling one and the same folder of shards."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.peers.watch import SCRIPTS, Ran, kill, lines, run
from tests.support.corpora import corpus

SIZES, SHARD_BYTES = (10_000, 30_000), 8 << 20
"""Of the renditions, about 1.5 times as much on average."""
ROUNDS = 3
COLUMNS = (
    "reader", "samples/s", "samples/s of CPU", "peak MB", "lines", "mean way, of all (1/3 is fair)", "follows the file, r",
    "killed: read twice", "never read", "s to go on",
)  # fmt: skip


def contest(folder: Path, python: Path, videos: int) -> list[list[object]]:
    """A row a reader. Rounds in turn, forwards and backwards; the best of each counts."""
    shards = corpus(folder / "shards", videos, 1, SIZES, SHARD_BYTES)
    stored = [str(key) for key in pq.read_table(shards / "index.parquet", columns=["key"]).column("key").to_pylist()]
    who = {"dmforge": Path(sys.executable), "datasets": python, "webdataset": python}
    best: dict[str, Ran] = {}
    read: dict[str, list[str]] = {}
    for turn in range(ROUNDS):
        for name in list(who) if turn % 2 else reversed(who):
            place = _fresh(folder / f"read-{name}")
            ran = run([who[name], SCRIPTS / f"read_{name}.py", shards, place])
            read[name] = [key for key in (place / "log").read_text().splitlines() if key != "kept"]
            if name not in best or ran.report["s"] < best[name].report["s"]:
                best[name] = ran
    return [
        [name, *_speed(best[name], len(read[name])), lines(SCRIPTS / f"read_{name}.py"), *_shuffled(stored, read[name]),
         *_resumed(_fresh(folder / f"read-{name}"), [who[name], SCRIPTS / f"read_{name}.py", shards], stored)]
        for name in who
    ]  # fmt: skip


def _speed(ran: Ran, samples: int) -> list[object]:
    return [f"{samples / ran.report['s']:,.0f}", f"{samples / ran.report['cpu_s']:,.0f}", f"{ran.peak_mb:.0f}"]


def _shuffled(stored: list[str], read: list[str]) -> list[object]:
    """How far a sample goes on average, as a part of the epoch; and whether what lies early comes early."""
    place = {key: number for number, key in enumerate(stored)}
    lay = np.array([place[key] for key in read])
    came = np.arange(len(lay))
    return [f"{np.abs(lay - came).mean() / len(stored):.3f}", f"{np.corrcoef(lay, came)[0, 1]:.2f}"]


def _resumed(place: Path, command: list[object], stored: list[str]) -> list[object]:
    """Killed halfway, then run again. What came before the last state that was kept counts; what came after is taken back."""
    log = place / "log"
    half = sum(map(len, stored)) // 2
    kill([*command, place], lambda: log.exists() and log.stat().st_size > half)
    before = log.read_text().splitlines()
    resumed_at = len(before) - before[::-1].index("kept")
    again = run([*command, place])
    keys = [key for key in before[:resumed_at] + log.read_text().splitlines()[len(before) :] if key != "kept"]
    return [len(keys) - len(set(keys)), len(set(stored) - set(keys)), f"{again.report['first_s']:.2f}"]


def _fresh(place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place
