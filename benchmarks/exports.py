"""How long does an export take? The clips of looks, cut and encoded, by all cores; and how it was done before.

The baseline, in the same run and on the same corpus, is one process that takes each look through RGB, encodes it with x264's
`veryfast`, and syncs each file by itself.

    python -m benchmarks.exports
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random

from av.video.frame import VideoFrame

from dmforge.curation.exports import export
from dmforge.curation.exports.conversation_rows import looks_of
from dmforge.curation.io.atomic import write_bytes
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import Shard
from dmforge.curation.shards.write import ShardEntry, fill_shards
from dmforge.curation.video import renditions
from dmforge.curation.video.encode_h264 import encoding_h264
from dmforge.curation.video.read_frames import read_look
from dmforge.curation.video.timeline import read_timeline
from dmforge.schemas.clips import Clips
from dmforge.schemas.dialects.known_dialects import SPAN
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.sizes import Size
from dmforge.schemas.transcript import COARSE, Piece
from tests.support.corpora import entry, publish, sample
from tests.support.films import shots, write_film
from tests.support.tables import show

COMMAND = "python -m benchmarks.exports"
WIDTH, HEIGHT = 640, 360
BEFORE = {"preset": "veryfast", "crf": "14", "threads": "1", "flags": "+bitexact", "x264-params": "mbtree=0"}
DENSITIES = (Fraction(1), Fraction(2), Fraction(4))


def packed(folder: Path, number: int, samples: int) -> ShardEntry:
    """A film of 10 shots with real renditions, and trajectories with a look of 4 to 10 s each."""
    path, clips, chance = folder / f"{number}.mp4", Clips(), Random(number)
    write_film(path, shots(number, 10), WIDTH, HEIGHT)
    timeline, made = read_timeline(path), entry(number, samples, b"", b"")
    video = replace(made.video, duration_cs=int(timeline.duration_s * 100), width=WIDTH, height=HEIGHT)
    record, files = video.as_record(), [folder / f"{number}.{kind}.mp4" for kind in ("coarse", "grid")]
    plans = [
        renditions.RenditionPlan(
            files[0], clips.coarse(record).times_s, clips.coarse_size(record), renditions.COARSE_RATE, renditions.COARSE
        ),
        renditions.RenditionPlan(files[1], clips.grid_times_s(record), clips.grid_size(record), Fraction(12), renditions.GRID),
    ]
    renditions.make_renditions(timeline, plans)
    trajectories = []
    for nth in range(samples):
        start_cs, length_cs = chance.randrange(0, video.duration_cs - 1100), chance.randrange(400, 1000)
        look = Look(Window(start_cs, start_cs + length_cs), chance.choice(DENSITIES))
        transcript = SPAN.transcribe(
            (COARSE, Piece("prompt", f"What happens in {number}?")), Trajectory(("Hm.", "Ah."), (look,), "a")
        )
        trajectories.append(replace(sample(number, nth), transcript=transcript))
    return replace(
        made,
        video=video,
        samples=trajectories,
        costs=[(1, 1)] * samples,
        coarse=files[0].read_bytes(),
        grid=files[1].read_bytes(),
    )


def as_before(corpus: Corpus, folder: Path) -> None:
    """The clips of looks and overviews, one after the other."""
    for video in corpus.videos():
        write_bytes(folder / f"{video.key}.coarse.mp4", video.coarse)
        for packed_sample in video.samples:
            (look,) = looks_of(packed_sample)
            frames = read_look(corpus.clips, video.video.as_record(), look, video.grid)
            buffer, rate = io.BytesIO(), corpus.clips.look(video.video.as_record(), look).actual_fps
            with encoding_h264(buffer, Size(frames.shape[2], frames.shape[1]), rate, BEFORE) as encode:
                for pixels in frames:
                    encode(VideoFrame.from_ndarray(pixels, format="rgb24"))
            write_bytes(folder / f"{packed_sample.id}.mp4", buffer.getvalue())


def measured(name: str, work: Callable[[], object], folder: Path, samples: int) -> list[object]:
    """Wall and CPU seconds of some work, and what it wrote."""
    before, began = cpu_s(), time.monotonic()
    work()
    wall_s, spent_s = time.monotonic() - began, cpu_s() - before
    size = sum(path.stat().st_size for path in folder.rglob("*.mp4"))
    return [name, round(wall_s, 1), round(spent_s, 1), round(wall_s / samples * 1e5 / 3600, 1), round(size / 2**20, 1)]


def cpu_s() -> float:
    """Of this process and of those that it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=48)
    parser.add_argument("--samples", type=int, default=4, help="of each video")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder, shards = Path(work, "corpus"), list[Shard]()
        folder.mkdir()
        entries = (packed(Path(work), number, arguments.samples) for number in range(arguments.videos))
        index = list(fill_shards(folder, entries, 1 << 28, shards))
        corpus = Corpus(str(publish(folder, shards, index, "films")))
        before, now = Path(work, "before"), Path(work, "now")
        rows = [
            measured("before: one process, through RGB", lambda: as_before(corpus, before), before, len(corpus)),
            measured("export --to llamafactory", lambda: export(corpus, "llamafactory", now), now, len(corpus)),
        ]
        sealed = json.loads((now / "export.json").read_text())
        assert sealed["samples"] == len(corpus)
    title = f"{len(corpus)} looks at {arguments.videos} films of {WIDTH} x {HEIGHT}, {len(os.sched_getaffinity(0))} cores"
    show(title, COMMAND, ["", "s", "CPU s", "hours for 100,000", "MB"], rows)


if __name__ == "__main__":
    main()
