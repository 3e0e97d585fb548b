"""What renditions save at every read: V0 and one random look, from renditions against the raw file by decord.

CPU time on one thread, median of several; bytes of both renditions against the raw file; SSIM of the grid's frames against the
raw frames at the rendition's size.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.ingest import grid_options
from dmforge.curation.video.probe import probe
from dmforge.curation.video.read_frames import read_coarse, read_grid, read_look
from dmforge.curation.video.renditions import COARSE, COARSE_RATE, GRID, RenditionPlan, make_renditions
from dmforge.curation.video.timeline import read_timeline
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.sizes import CELL, Size
from tests.support.tables import show

RATE = 30
REPEATS = 5


def filmed(path: Path, width: int, height: int, seconds: int) -> None:
    """A moving, textured scene with cuts, as a camera would bring it: H.264, 30 fps, GOPs of 250 frames, B-frames."""
    draw = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(seconds * RATE):
            if number % (7 * RATE) == 0:
                grid = draw.integers(0, 255, (height // 40 + 6, width // 40 + 6, 3)).astype(np.float32)
                scene = _smooth(grid, height + 160, width + 160)
            x, y = number % (7 * RATE) // 2, number % (7 * RATE) // 3
            picture = scene[y : y + height, x : x + width]  # pyright: ignore[reportPossiblyUnboundVariable] (made by the first)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _smooth(grid: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    rows = np.linspace(0, grid.shape[0] - 1.001, height)
    columns = np.linspace(0, grid.shape[1] - 1.001, width)
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
    above = grid[top][:, left] * (1 - right) + grid[top][:, left + 1] * right
    below = grid[top + 1][:, left] * (1 - right) + grid[top + 1][:, left + 1] * right
    return (above * (1 - down) + below * down).astype(np.uint8)


def cpu_s(work: Callable[[], object]) -> float:
    took: list[float] = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return statistics.median(took)


def ssim(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Of luma, over blocks of 8 x 8, averaged."""

    def blocks(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        grey = picture @ np.array([0.299, 0.587, 0.114])
        height, width = (side // 8 * 8 for side in grey.shape)
        return grey[:height, :width].reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3).reshape(-1, 64)

    a, b = blocks(image), blocks(other)
    mean_a, mean_b = a.mean(1), b.mean(1)
    both = ((a - mean_a[:, None]) * (b - mean_b[:, None])).mean(1)
    luminance = (2 * mean_a * mean_b + 6.5025) / (mean_a**2 + mean_b**2 + 6.5025)
    return float((luminance * (2 * both + 58.5225) / (a.var(1) + b.var(1) + 58.5225)).mean())


def measure(raw: Path, pixels: int, folder: Path) -> list[object]:
    """One row: a raw file against its renditions with frames of about so many pixels."""
    import decord  # pyright: ignore[reportMissingTypeStubs]

    timeline = read_timeline(raw)
    probed = probe(timeline)
    video = probed.as_video("00" * 32, 1)
    tokens = pixels // CELL**2
    coarse_frames = min(256, int(probed.duration_s * 2))
    clips = Clips(coarse_tokens=tokens * ((coarse_frames + 1) // 2), look_tokens=tokens * 32)
    coarse, grid = folder / "coarse.mp4", folder / "grid.mp4"
    plan, size, v0_size = clips.coarse(video), clips.grid_size(video), clips.coarse_size(video)
    began = time.process_time()
    renditions = [
        RenditionPlan(coarse, plan.times_s, v0_size, COARSE_RATE, COARSE),
        RenditionPlan(grid, clips.grid_times_s(video), size, Fraction(GRID_FPS), GRID),
    ]
    make_renditions(timeline, renditions)
    made_s = time.process_time() - began
    draw = random.Random(1)
    start = draw.randrange(0, video.duration_cs - 1000)
    look = clips.look(video, Look(Window(start, start + 800), Fraction(4)))

    def from_raw() -> None:
        for times, at in ((plan.times_s, v0_size), (look.times_s, size)):
            reader = decord.VideoReader(str(raw), width=at.width, height=at.height, num_threads=1)
            reader.get_batch([int(time * RATE) for time in times]).asnumpy()

    def by_pyav() -> None:
        read_coarse(coarse, plan.indices)
        read_grid(grid, look.indices)

    def by_decord() -> None:
        for path, indices in ((coarse, plan.indices), (grid, look.indices)):
            decord.VideoReader(str(path), num_threads=1).get_batch(list(indices)).asnumpy()

    raw_s, pyav_s, decord_s = cpu_s(from_raw), cpu_s(by_pyav), cpu_s(by_decord)
    picked = look.indices[:: max(1, len(look.indices) // 8)]
    truth = PyAV().read(raw, [Fraction(index, GRID_FPS) for index in picked], Size(size.width, size.height)).frames
    likeness = statistics.mean(ssim(a, b) for a, b in zip(truth, read_grid(grid, picked), strict=True))
    share = (coarse.stat().st_size + grid.stat().st_size) / raw.stat().st_size
    return [
        f"{probed.width}x{probed.height}, {float(probed.duration_s):.0f} s", f"{size.width}x{size.height}", f"{raw_s:.2f}",
        f"{pyav_s:.3f}", f"{decord_s:.3f}", f"{raw_s / pyav_s:.1f}", f"{share:.2f}", f"{likeness:.3f}", f"{made_s:.1f}",
    ]  # fmt: skip


def beside_fixed(path: Path, folder: Path) -> list[float] | None:
    """What `look_size = "floor"` costs for a real clip: bytes, making and reading, before and after; None if it is unusable."""
    try:
        timeline = read_timeline(path)
        video = probe(timeline).as_video("00" * 32, 1)
        figures: list[float] = []
        for clips in (Clips(), Clips(look_size="floor")):
            coarse, grid = folder / "coarse.mp4", folder / "grid.mp4"
            renditions = [
                RenditionPlan(coarse, clips.coarse(video).times_s, clips.coarse_size(video), COARSE_RATE, COARSE),
                RenditionPlan(
                    grid, clips.grid_times_s(video), clips.grid_size(video), Fraction(GRID_FPS), grid_options(video, clips)
                ),
            ]
            began = time.process_time()
            make_renditions(timeline, renditions)
            made_s = time.process_time() - began
            read_s = cpu_s(partial(read_look, clips, video, Look(Window(0, min(400, video.duration_cs)), Fraction(4)), grid))
            figures += [(coarse.stat().st_size + grid.stat().st_size) / 1e6, made_s, read_s]
        return figures
    except DmforgeError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=Path, help="a folder of real clips; DMFORGE_REAL_DATA/videos by default")
    arguments = parser.parse_args()
    real_data = os.environ.get("DMFORGE_REAL_DATA")
    videos = arguments.videos or (Path(real_data, "videos") if real_data else None)
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="dmforge-reads-") as place:
        folder = Path(place)
        filmed(folder / "short.mp4", 1280, 720, 60)
        filmed(folder / "long.mp4", 854, 480, 600)
        for name, pixels in (("short.mp4", 640_000), ("short.mp4", 100_000), ("long.mp4", 100_000)):
            rows.append(measure(folder / name, pixels, folder))
    show(
        "Reading V0 and one look of 8 s at 4 fps: CPU seconds on one thread",
        "python -m benchmarks.reads",
        ["raw file", "look at", "raw, decord", "rendition, pyav", "rendition, decord", "x raw", "bytes", "SSIM", "made in"],
        rows,
    )
    if videos:
        with tempfile.TemporaryDirectory(prefix="dmforge-reads-") as place:
            measured = [figures for path in sorted(videos.iterdir()) if (figures := beside_fixed(path, Path(place)))]
        sums = [sum(figures[column] for figures in measured) for column in range(6)]
        names = ("MB of renditions", "CPU s to make them", "CPU s to read a look of 4 s at 4 fps from each")
        show(
            f'`look_size = "floor"` beside "fixed", over {len(measured)} real clips',
            "python -m benchmarks.reads",
            ["", "fixed", "floor", "ratio"],
            [[name, f"{sums[n]:.2f}", f"{sums[n + 3]:.2f}", f"{sums[n + 3] / sums[n]:.2f}"] for n, name in enumerate(names)],
        )


if __name__ == "__main__":
    main()
