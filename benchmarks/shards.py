"""Are shards read as fast as plain files, and does it matter how many samples there are or where one goes on?

Reads: the same videos in random order, by index from shards and as three plain files each, and in sequence by `wds.WebDataset`;
CPU time, median of seven, page cache warm. Resuming: a fresh process opens an index, goes to a step and reads the first sample.
A million samples stand in the index of a folder whose tars hold a thousand videos: each is named many times.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.index import SUFFIXES, VideoIndexRow
from dmforge.curation.shards.sampler import BatchSampler, CorpusDataset
from dmforge.curation.shards.write import write_shards
from tests.support.corpora import corpus, entries, publish
from tests.support.tables import show

COMMAND = "python -m benchmarks.shards"
SIZES = ((2_000, 6_000), (40_000, 120_000), (300_000, 900_000))
"""Of the renditions of a thumbnail, of a short clip, of a minute or two: about 1.5 times as much on average."""
VIDEOS, SHARD_BYTES = 200, 16 << 20
TIMES = 7


def cpu_s(work: Callable[[], None]) -> float:
    """Median of seven, after one to warm up."""
    took: list[float] = []
    for _ in range(TIMES + 1):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return statistics.median(took[1:])


def reads(folder: Path, sizes: tuple[int, int]) -> list[object]:
    """Ours, plain files, webdataset."""
    import webdataset as wds

    place, files = corpus(folder / "shards", VIDEOS, 1, sizes, SHARD_BYTES), folder / "files"
    files.mkdir()
    packed = Corpus(str(place))
    names: list[list[Path]] = []
    for video in packed.videos():
        paths = [files / f"{video.key}.{suffix}" for suffix in SUFFIXES]
        for path, data in zip(paths, (video.coarse, video.document, video.grid), strict=True):
            path.write_bytes(data)
        names.append(paths)
    order = random.Random(1).sample(range(VIDEOS), VIDEOS)

    def from_shards() -> None:
        for number in order:
            packed[number]

    def plain() -> None:
        for number in order:
            _ = [path.read_bytes() for path in names[number]]

    def streamed() -> None:
        for _ in wds.WebDataset(sorted(map(str, place.glob("*.tar"))), shardshuffle=False):
            pass

    took = [cpu_s(work) for work in (from_shards, plain, streamed)]
    kilobytes = packed.manifest.bytes / VIDEOS / 1000
    per_s = [f"{VIDEOS / s:,.0f}" for s in took]
    return [f"{kilobytes:,.0f}", *per_s, f"{took[1] / took[0]:.2f}", f"{took[2] / took[0]:.1f}"]


def large(folder: Path, samples: int) -> Path:
    """A folder whose index names so many samples."""
    shards, rows = write_shards(folder, entries(1000, 1, (200, 300)), 1 << 20)

    def index() -> Iterator[VideoIndexRow]:
        for number in range(samples):
            row = rows[number % len(rows)]
            yield replace(row, samples=(f"{row.samples[0]}-{number}",))

    index_rows = list(index())
    shards = [replace(shard, samples=sum(row.shard == shard.name for row in index_rows)) for shard in shards]
    return publish(folder, shards, index_rows, f"{samples} samples")


def first_sample(place: str, step: int) -> None:
    """In a process of its own: how long it takes from nothing to the first batch, and the memory that is its own."""
    began = time.monotonic()
    packed = Corpus(place)
    sampler = BatchSampler([packed], seed=1, max_tokens=1 << 40, max_samples=1)
    opened_s = time.monotonic() - began
    sampler.resume(sampler.state(step))
    (batch,) = islice(sampler, 1)
    assert CorpusDataset([packed]).__getitems__(batch)
    took_s = time.monotonic() - began
    sys.stdout.write(json.dumps({"s": took_s, "opened_s": opened_s, "mb": own_peak_mb()}))


def own_peak_mb() -> float:
    """Peak of resident memory, less what is mapped from files: those pages are the page cache's."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return (int(fields["VmHWM"].split()[0]) - int(fields["RssFile"].split()[0])) / 1024


def resumes(folder: Path) -> list[list[object]]:
    """Two sizes of index, and where one goes on."""
    rows: list[list[object]] = []
    for samples, steps in ((100_000, (0,)), (1_000_100, (0, 1_000_000))):
        place = large(folder / str(samples), samples)
        for step in steps:
            command = [sys.executable, "-m", "benchmarks.shards", "--first", str(place), "--step", str(step)]
            runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(5)]
            middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            rows.append([f"{samples:,}", f"{step:,}", f"{middle['s']:.2f}", f"{middle['mb']:.0f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--first")
    parser.add_argument("--step", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.first:
        first_sample(arguments.first, arguments.step)
        return
    with tempfile.TemporaryDirectory() as scratch:
        rows = [reads(Path(scratch, str(sizes[0])), sizes) for sizes in SIZES]
        columns = ["kB a video", "shards by index", "plain files", "wds.WebDataset", "x plain files", "x wds"]
        show("Videos read a second of CPU time", COMMAND, columns, rows)
        columns = ["samples in the index", "at step", "s to the first sample", "peak MB of its own"]
        show("The first sample of a fresh process", COMMAND, columns, resumes(Path(scratch)))


if __name__ == "__main__":
    main()
