"""How much memory does a worker take for a large file? A 4K video of ten minutes goes through `ingest` under its default limit.

The baseline, in the same run, is a small file of the same length: what a process takes anyway.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from dmforge.commands import intake, standing
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from tests.support.memory import PeakMemory
from tests.support.tables import show

RATE = 10
GOP_S = 2
RECIPE = 'name = "memory"\n[stages.ingest]\nworkers = 1\n'


def looped(path: Path, width: int, height: int, seconds: int) -> None:
    """A video that repeats two encoded seconds: large to decode, quick to make."""
    noise = np.random.default_rng(1).integers(0, 255, (height // 8, width // 8, 3)).astype(np.uint8)
    picture = noise.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        packets = []
        for number in range(GOP_S * RATE):
            shifted = np.ascontiguousarray(np.roll(picture, 16 * number, axis=1))
            packets += stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24"))
        packets += stream.encode(None)
        data = [(bytes(packet), packet.is_keyframe) for packet in packets]
        for number in range(seconds * RATE):
            body, key = data[number % len(data)]
            packet = av.Packet(body)
            packet.stream, packet.is_keyframe = stream, key
            packet.pts = packet.dts = number
            packet.duration, packet.time_base = 1, Fraction(1, RATE)
            container.mux(packet)


def ingested(path: Path, folder: Path) -> list[object]:
    workspace = WorkspaceFolder(folder / path.stem)
    workspace.inputs.mkdir(parents=True)
    workspace.recipe.write_text(RECIPE)
    intake.add_videos(workspace, "memory", [str(path)], SourceInfo())
    began = time.monotonic()
    command = [sys.executable, "-m", "dmforge.cli", "run", "-w", str(workspace.root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True, env=environment) as process,
        PeakMemory(process) as memory,
    ):
        process.wait()
    tally = standing.status(workspace)["ingest"]
    return [
        path.stem,
        path.stat().st_size >> 20,
        f"{time.monotonic() - began:.0f}",
        f"{memory.peak_mb:.0f}",
        tally.made,
        tally.quarantined,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-memory-") as place:
        folder = Path(place)
        rows: list[list[object]] = []
        for name, width, height in (("320x192", 320, 192), ("3840x2160", 3840, 2160)):
            looped(folder / f"{name}.mp4", width, height, arguments.seconds)
            rows.append(ingested(folder / f"{name}.mp4", folder))
    columns = ["file", "MB", "s", "peak MB, all processes", "made", "quarantined"]
    show(
        "A large file under the default limit of 2048 MB",
        f"python -m benchmarks.memory4k --seconds {arguments.seconds}",
        columns,
        rows,
    )


if __name__ == "__main__":
    main()
