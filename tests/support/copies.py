"""Videos and copies of them: re-encoded, resized, brightened, trimmed; with the fingerprints that `ingest` makes."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from dmforge.curation.video.fingerprint import frame_hashes, sampled_indices
from dmforge.curation.video.probe import probe
from dmforge.curation.video.read_frames import stream_grid
from dmforge.curation.video.renditions import GRID, RenditionPlan, make_renditions
from dmforge.curation.video.timeline import read_timeline
from dmforge.generators.synthetic.worlds.imagine import imagine, knobs_of
from dmforge.generators.synthetic.worlds.rasterize import draw
from dmforge.generators.synthetic.worlds.script import FPS
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import GRID_FPS

KINDS = ("re-encoded", "resized", "brightened", "trimmed")

SIDE = 96

Hashes = tuple[int, ...]


def fingerprint(path: Path, folder: Path) -> tuple[int, ...]:
    """As `ingest` makes it."""
    timeline = read_timeline(path)
    video = probe(timeline).as_video("00" * 32, 1)
    clips = Clips()
    times, grid = clips.grid_times_s(video), folder / "grid.mp4"
    make_renditions(timeline, [RenditionPlan(grid, times, clips.grid_size(video), Fraction(GRID_FPS), GRID)])
    return frame_hashes(stream_grid(grid, sampled_indices(len(times))))


def written(path: Path, pictures: NDArray[np.uint8], crf: int = 20, size: int = SIDE) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame.reformat(size, size, "yuv420p")))
        container.mux(stream.encode(None))
    return path


def copied(pictures: NDArray[np.uint8], kind: str, chance: random.Random, path: Path) -> Path:
    """The same video as someone else would have it."""
    if kind == "re-encoded":
        return written(path, pictures, crf=chance.choice((32, 36)))
    if kind == "resized":
        return written(path, pictures, size=chance.choice((64, 128, 160)))
    if kind == "brightened":
        brighter = pictures.astype(np.float32) * chance.uniform(0.7, 1.3) + chance.uniform(-20, 20)
        return written(path, brighter.clip(0, 255).astype(np.uint8))
    first = chance.randrange(len(pictures) // 5)
    return written(path, pictures[first : len(pictures) - chance.randrange(len(pictures) // 5)])


def worlds(count: int, folder: Path) -> tuple[list[Hashes], dict[str, list[tuple[Hashes, Hashes]]]]:
    """Fingerprints of originals, and of copies of each kind beside their originals."""
    chance = random.Random(1)
    originals: list[tuple[int, ...]] = []
    found: dict[str, list[tuple[Hashes, Hashes]]] = {kind: [] for kind in KINDS}
    for seed in range(count):
        script, kind = imagine(seed, knobs_of(5 * (seed % 2))), KINDS[seed % len(KINDS)]
        pictures = np.stack([draw(script, frame, SIDE, SIDE) for frame in range(script.frames)])
        originals.append(fingerprint(written(folder / "original.mp4", pictures), folder))
        copy = fingerprint(copied(pictures, kind, chance, folder / "copy.mp4"), folder)
        found[kind].append((originals[-1], copy))
    return originals, found
