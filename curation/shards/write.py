"""Tars as `webdataset.TarWriter` writes them, cut by size, and a row of the index for each video. Knows no lake."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.atomic import writing
from dmforge.curation.shards.document import ShardSample, ShardVideo, write_document
from dmforge.curation.shards.folders import Shard
from dmforge.curation.shards.index import Row
from dmforge.curation.shards.tars import BLOCK, MODE, USER, padded


@dataclass(frozen=True, slots=True)
class Entry:
    """A video on its way into a shard."""

    video: ShardVideo
    samples: Sequence[ShardSample]
    costs: Sequence[tuple[int, int]]
    """Of each sample: visual tokens, and bytes of text."""
    coarse: bytes
    grid: bytes

    @property
    def key(self) -> str:
        """What its members are called in the tar."""
        return self.video.video.rpartition("_")[2]


def write_shards(folder: Path, entries: Iterable[Entry], shard_bytes: int) -> tuple[list[Shard], list[Row]]:
    """Shards in a folder, and what their index says."""
    shards: list[Shard] = []
    index = list(fill_shards(folder, entries, shard_bytes, shards))
    return shards, index


def fill_shards(folder: Path, entries: Iterable[Entry], shard_bytes: int, shards: list[Shard]) -> Generator[Row]:
    """What the index says of each video, once it is written; each shard is told of once it is whole. Holds one video."""
    rest = iter(entries)
    for number in itertools.count():
        first = next(rest, None)
        if first is None:
            return
        name, videos, samples = f"train-{number:06d}.tar", 0, 0
        with writing(folder / name) as file, closing(_filled(name, file, itertools.chain([first], rest), shard_bytes)) as rows:
            for row in rows:
                videos, samples = videos + 1, samples + len(row.samples)
                yield row
        shards.append(Shard(name, file.sha256, file.size_bytes, videos, samples))


def _filled(shard: str, file: Any, entries: Iterator[Entry], shard_bytes: int) -> Generator[Row]:
    """One shard: the next videos, until it is large enough."""
    from webdataset.writer import TarWriter

    at = 0
    with TarWriter(file, user=USER, group=USER, mode=MODE, mtime=0) as tar:
        for entry in entries:
            # by name, which is how TarWriter sorts them
            members = {"coarse.mp4": entry.coarse, "json": write_document(entry.video, entry.samples), "mp4": entry.grid}
            tar.write({"__key__": entry.key, **members})
            row = _row(shard, at, entry, members)
            yield row
            at += row.size
            if at >= shard_bytes:
                return


def _row(shard: str, at: int, entry: Entry, members: dict[str, bytes]) -> Row:
    places: dict[str, Any] = {}
    end = at
    for name, data in zip(("coarse", "json", "grid"), members.values(), strict=True):
        places |= {f"{name}_offset": end + BLOCK, f"{name}_size": len(data)}
        places[f"{name}_sha256"] = hashlib.sha256(data).hexdigest()
        end += BLOCK + padded(len(data))
    return Row(
        shard=shard, key=entry.key, offset=at, size=end - at, **places,
        samples=tuple(sample.id for sample in entry.samples),
        visual_tokens=tuple(tokens for tokens, _ in entry.costs), text_bytes=tuple(text for _, text in entry.costs),
    )  # fmt: skip
