"""How much of the text in a video can be read from the overview and from looks? An OCR that knows nothing of us reads it.

Words of five sizes are burnt into real clips, which are ingested with `look_size` fixed and floor. RapidOCR, in an environment
of its own and with the models that its package ships, reads the same two moments in V0, in a look of 2 frames and in one of 16.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.peers.environment import python_with
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.ingest import ensure_renditions
from dmforge.curation.video.media import Media
from dmforge.curation.video.probe import probe
from dmforge.curation.video.read_frames import read_coarse, read_look
from dmforge.curation.video.timeline import read_timeline
from dmforge.curation.video.unusable import UnusableVideo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size
from tests.support.tables import show

PACKAGES = ("rapidocr-onnxruntime==1.4.4", "onnxruntime==1.32.0", "opencv-python==5.0.0.93", "numpy==2.4.6")
SHARES = (Fraction(1, 72), Fraction(1, 56), Fraction(1, 44), Fraction(1, 32), Fraction(1, 20))
"""The heights of the words, as shares of the picture's."""
WORDS_A_SIZE = 4
MIN_SIDE = 360
"""Clips whose shorter side has fewer pixels are left out: their looks were never smaller than the overview."""
MOMENTS = (Fraction(1), Fraction(3, 2))
"""The seconds of the frames that are read: V0 and both looks have them."""
FIXED, FLOOR = Clips(), Clips(look_size="floor")
LOOKS = {2: Look(Window(100, 200), Fraction(2)), 16: Look(Window(100, 500), Fraction(4))}
WORDS = [
    "anchor", "basket", "candle", "dragon", "engine", "forest", "garden", "hammer", "island", "jacket", "kettle",
    "ladder", "magnet", "needle", "orange", "pepper", "quarry", "rabbit", "saddle", "tunnel", "velvet", "walnut",
    "yellow", "zipper", "bridge", "carpet", "desert", "farmer", "guitar", "helmet", "insect", "jungle", "lemons",
    "market", "napkin", "oyster", "pencil", "rocket", "silver", "temple", "violin", "window", "branch", "castle",
    "doctor", "finger", "ground", "hunter",
]  # fmt: skip
Picture = NDArray[np.uint8]


def clips_in(folder: Path) -> Iterator[tuple[Path, Video]]:
    """The usable clips of a folder that are large enough."""
    for path in sorted(folder.iterdir()):
        try:
            video = probe(read_timeline(path)).as_video("00" * 32, 1)
            if min(video.width, video.height) >= MIN_SIDE and video.duration_cs >= 50:
                yield path, video
        except DmforgeError:
            continue


def burnt(source: Path, video: Video, path: Path, words: Sequence[str], seconds: int) -> None:
    """A clip of so many seconds, the source forwards and backwards, with the words on every frame."""
    width, height = video.width // 2 * 2, video.height // 2 * 2
    count = min(4 * GRID_FPS, int(Fraction(video.duration_cs, 100) * GRID_FPS))
    frames = PyAV().read(source, [Fraction(index, GRID_FPS) for index in range(count)], Size(width, height)).frames
    layer = _text_layer(width, height, words)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=GRID_FPS, options={"preset": "ultrafast", "crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(seconds * GRID_FPS):
            place = number % (2 * count)
            picture = Image.fromarray(frames[min(place, 2 * count - 1 - place)])
            picture.paste(layer, (0, 0), layer)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
        container.mux(stream.encode(None))


def _text_layer(width: int, height: int, words: Sequence[str]) -> Image.Image:
    """Words in white with a black edge, a line for each size."""
    layer = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw, top = ImageDraw.Draw(layer), height // 12
    for line, share in enumerate(SHARES):
        pixels = max(6, round(height * share))
        font = ImageFont.load_default(pixels)
        for column in range(WORDS_A_SIZE):
            word = words[line * WORDS_A_SIZE + column]
            place = width // 20 + column * width * 9 // 40, top
            draw.text(place, word, "white", font, stroke_width=max(1, pixels // 12), stroke_fill="black")
        top += pixels + height // 9
    return layer


def frames_of(clip: Path, folder: Path, clips: Clips) -> dict[str, list[Picture]]:
    """The same two moments in V0 and in each look, by name, as a model is shown them."""
    timeline = read_timeline(clip)
    video = probe(timeline).as_video("00" * 32, 1)
    media = Media(WorkspaceFolder(folder), video.id)
    ensure_renditions(media, timeline, video, clips)
    plan = clips.coarse(video)
    overview = read_coarse(media.coarse, plan.indices)
    pictures = {"V0": [overview[plan.times_s.index(moment)] for moment in MOMENTS]}
    for count, look in LOOKS.items():
        frames, times_s = read_look(clips, video, look, media.grid), clips.look(video, look).times_s
        pictures[f"{count} frames"] = [frames[times_s.index(moment)] for moment in MOMENTS]
    return pictures


def share_read(texts: Sequence[str], words: Sequence[str]) -> float:
    read = set(re.findall("[a-z]+", " ".join(texts).lower()))
    return sum(word in read for word in words) / len(words)


def measure(python: Path, source: Path, video: Video, seconds: int, folder: Path, rng: random.Random) -> list[float | str]:
    """One row: the sizes and shares of words read from V0 and from looks, before and after."""
    words = rng.sample(WORDS, len(SHARES) * WORDS_A_SIZE)
    clip, paths, sizes = folder / "clip.mp4", list[Path](), list[str]()
    burnt(source, video, clip, words, seconds)
    for clips in (FIXED, FLOOR):
        for name, pictures in frames_of(clip, folder / clips.look_size, clips).items():
            for number, picture in enumerate(pictures):
                paths.append(folder / f"{clips.look_size} {name} {number}.png")
                Image.fromarray(picture).save(paths[-1])
            sizes.append(f"{pictures[0].shape[1]} x {pictures[0].shape[0]}")
    script = Path(__file__).parent / "peers/scripts/read_words.py"
    output = subprocess.run([python, script, *paths], stdout=subprocess.PIPE, text=True, check=True)
    of_frames = [share_read(json.loads(line), words) for line in output.stdout.splitlines()]
    shares = [sum(pair) / 2 for pair in zip(of_frames[::2], of_frames[1::2], strict=True)]
    name = re.sub(r".*__", "", source.stem)[:28]
    v0, fixed_2, fixed_16, _, floor_2, floor_16 = shares
    return [f"{name}, {seconds} s", f"{video.width} x {video.height}", sizes[0], v0, fixed_2, floor_2, fixed_16, floor_16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="a folder of real clips; DMFORGE_REAL_DATA/videos by default")
    parser.add_argument("--folder", type=Path, help="where the OCR's environment stays; else it is made anew and removed")
    arguments = parser.parse_args()
    real_data = os.environ.get("DMFORGE_REAL_DATA")
    if not (arguments.videos or real_data):
        sys.exit("--videos FOLDER: a folder of real clips is needed, or DMFORGE_REAL_DATA")
    videos = arguments.videos or Path(str(real_data), "videos")
    rng, rows = random.Random(1), list[list[float | str]]()
    with tempfile.TemporaryDirectory(prefix="dmforge-legibility-") as scratch:
        sources = list(clips_in(videos))
        if not sources:
            sys.exit(f"{videos}: no usable clip whose shorter side has {MIN_SIDE} pixels")
        python = python_with(PACKAGES, (arguments.folder or Path(scratch, "environment")).absolute())
        lengths = [(source, video, 8) for source, video in sources] + [(*sources[-1], 120)]
        for number, (source, video, seconds) in enumerate(lengths):
            folder = Path(scratch, str(number))
            folder.mkdir()
            try:
                rows.append(measure(python, source, video, seconds, folder, rng))
            except UnusableVideo as error:  # damaged further in: nothing can be burnt into it
                print(f"left out: {error.message}", file=sys.stderr)
    means = [sum(float(row[column]) for row in rows) / len(rows) for column in range(3, 8)]
    columns = ["clip", "source", "V0 at", "V0", "2 frames, fixed", "2, floor", "16 frames, fixed", "16, floor"]
    table = [[f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row] for row in [*rows, ["mean", "", "", *means]]]
    show(
        f"Share of {len(SHARES) * WORDS_A_SIZE} burnt-in words that RapidOCR reads",
        "python -m benchmarks.legibility",
        columns,
        table,
    )


if __name__ == "__main__":
    main()
