"""How long the demo takes: in an empty folder, then the same command once more, as the baseline.

What the second run takes is what the commands themselves cost, with nothing left to do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

from tests.support.memory import PeakMemory
from tests.support.tables import show


def demo(folder: str, videos: int) -> list[object]:
    """Seconds and memory of one run; memory with all processes that it starts."""
    command = [sys.executable, "-m", "dmforge.cli", "demo", "--size", "chain", "--out", folder, "--videos", str(videos)]
    began = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True, env=environment) as process,
        PeakMemory(process) as memory,
    ):
        if process.wait():
            sys.exit("the demo failed")
    return [f"{time.monotonic() - began:.1f}", f"{memory.peak_mb:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=24)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-demo-") as folder:
        rows = [[name, *demo(folder, arguments.videos)] for name in ("from rendering to shards", "once more")]
    show("The demo", f"python -m benchmarks.demo --videos {arguments.videos}", ["run", "s", "peak MB, all processes"], rows)


if __name__ == "__main__":
    main()
