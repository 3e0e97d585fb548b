"""Beside HF datasets, webdataset, datatrove and a plain asyncio script: who is faster, who is shorter, what a kill costs?

One run, one machine, the same input; the order alternates. Peers have an environment of their own, built in the folder, and are
used as their documentation says. Their scripts and ours stand in `benchmarks/peers/scripts`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.peers import filtering, reading, teaching
from benchmarks.peers.environment import PEERS, python_with
from tests.support.tables import show

COMMAND = "python -m benchmarks.peers"
PARTS = ("reading", "filtering", "teaching")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the peers' environment stays; else it is made anew and removed")
    parser.add_argument("--videos", type=int, default=3000, help="that are read")
    parser.add_argument("--rows", type=int, default=40_000, help="that are filtered")
    parser.add_argument("--worlds", type=int, default=24, help="that are asked about")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    arguments = parser.parse_args()
    command = f"{COMMAND} --videos {arguments.videos} --rows {arguments.rows} --worlds {arguments.worlds}"
    with tempfile.TemporaryDirectory(prefix="dmforge-peers-") as scratch:
        folder = (arguments.folder or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        python, work = python_with(PEERS, folder), Path(scratch, "work")
        if "reading" in arguments.only:
            rows = reading.contest(work / "reading", python, arguments.videos)
            show(f"{arguments.videos:,} samples, shuffled", command, reading.COLUMNS, rows)
        if "filtering" in arguments.only:
            rows = filtering.contest(work / "filtering", python, arguments.rows)
            show(f"{arguments.rows:,} rows, filtered with reasons by two processes", command, filtering.COLUMNS, rows)
        if "teaching" in arguments.only:
            rows = teaching.contest(work / "teaching", python, arguments.worlds)
            show(f"Questions about {arguments.worlds} worlds, two calls each, eight in flight", command, teaching.COLUMNS, rows)


if __name__ == "__main__":
    main()
