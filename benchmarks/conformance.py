"""Is any backend ever wrong, and does it ever hang? Every shape of file, each read in a process of its own, with a deadline.

Asked are ten times at which frames come, some between and some just before them. Right means: each frame is the one on screen.
The baseline is decord as most people call it: the frame whose number is the time by the average rate.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from dmforge.curation.video.decoders import Decoder
from dmforge.curation.video.decoders.decord import Decord
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.decoders.torchcodec import TorchCodec
from dmforge.curation.video.unusable import UnusableVideo
from dmforge.generators.synthetic.worlds.rasterize import read_timecode
from tests.support.barcodes import CASES, Case, times_of, write
from tests.support.tables import show

DEADLINE_S = 10.0
NUMBERS = "decord by numbers"
BACKENDS: dict[str, type[Decoder] | None] = {"pyav": PyAV, "decord": Decord, "torchcodec": TorchCodec, NUMBERS: None}


@dataclass(frozen=True)
class Seen:
    """What a backend made of a file."""

    case: Case
    outcome: str
    """right, refused, wrong, hung."""
    s: float


def judged(case: Case, numbers: Sequence[int | None]) -> str:
    """Whether these frames are those that were on screen; of a broken file any frame is one too many."""
    return "wrong" if case.bad or list(numbers) != [case.on_screen(moment) for moment in times_of(case)] else "right"


def read(backend: str, case: Case, path: Path, answer: Connection) -> None:
    """In a process of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # FFmpeg's complaints
    decoder = BACKENDS[backend]
    try:
        frames = by_numbers(path, times_of(case)) if decoder is None else decoder().read(path, times_of(case)).frames
        answer.send(judged(case, [read_timecode(frame) for frame in frames]))
    except UnusableVideo:
        answer.send("refused")
    except Exception:
        answer.send("refused" if decoder is None else "wrong")  # of ours, only typed errors count


def by_numbers(path: Path, times: Sequence[Fraction]) -> np.ndarray:
    """As tutorials do it."""
    import decord  # pyright: ignore[reportMissingTypeStubs]

    reader = decord.VideoReader(str(path), num_threads=1)
    return reader.get_batch([min(len(reader) - 1, int(t * Fraction(reader.get_avg_fps()))) for t in times]).asnumpy()


def look(backend: str, case: Case, path: Path) -> Seen:
    """One file through one backend."""
    hear, tell = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=read, args=(backend, case, path, tell))
    began = time.monotonic()
    process.start()
    tell.close()
    try:
        outcome = hear.recv() if hear.poll(DEADLINE_S) else "hung"
    except EOFError:
        outcome = "crashed"
    took = time.monotonic() - began
    process.kill()
    process.join()
    return Seen(case, outcome, took)


def usable(backend: str) -> bool:
    if backend == "torchcodec":
        try:
            import torchcodec.decoders  # noqa: F401
        except (ImportError, RuntimeError):
            return False
    else:
        import decord  # noqa: F401 # pyright: ignore
    return True


def main() -> None:
    cases = [case for case in CASES if case.bad or case.width >= 32]  # one pixel shows no number
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        paths = {case.name: write(case, Path(scratch)) for case in cases}
        for backend in filter(usable, BACKENDS):
            results = [look(backend, case, paths[case.name]) for case in cases]
            counts = [
                sum(result.outcome == outcome for result in results)
                for outcome in ("right", "refused", "wrong", "hung", "crashed")
            ]
            bad = ", ".join(result.case.name for result in results if result.outcome in ("wrong", "hung", "crashed")) or "-"
            rows.append([backend, *counts, f"{max(result.s for result in results if result.outcome != 'hung'):.2f}", bad])
    title = f"{len(cases)} shapes of file, {sum(case.bad for case in cases)} of them broken; deadline {DEADLINE_S:g} s"
    show(
        title,
        "python -m benchmarks.conformance",
        ["backend", "right", "refused", "wrong", "hung", "crashed", "slowest s", "wrong or hung at"],
        rows,
    )


if __name__ == "__main__":
    main()
