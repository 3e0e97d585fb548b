"""Writes shards with `webdataset.TarWriter`, split by size, and an index row for each video. It knows nothing of the lake."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.io.atomic import writing
from dmforge.curation.shards.document import ShardSample, ShardVideo, write_document
from dmforge.curation.shards.folders import Shard
from dmforge.curation.shards.index import VideoIndexRow
from dmforge.curation.shards.tars import BLOCK, MODE, USER, padded


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A video with its samples, to be written into a shard."""

    video: ShardVideo
    samples: Sequence[ShardSample]
    costs: Sequence[tuple[int, int]]
    """The cost of each sample: visual tokens, and bytes of text."""
    coarse: bytes
    grid: bytes

    @property
    def key(self) -> str:
        """The key of its members in the tar."""
        return self.video.video.rpartition("_")[2]


def write_shards(folder: Path, entries: Iterable[ShardEntry], shard_bytes: int) -> tuple[list[Shard], list[VideoIndexRow]]:
    """Write all entries as shards into a folder; the shards and their index rows."""
    shards: list[Shard] = []
    index = list(fill_shards(folder, entries, shard_bytes, shards))
    return shards, index


def fill_shards(folder: Path, entries: Iterable[ShardEntry], shard_bytes: int, shards: list[Shard]) -> Generator[VideoIndexRow]:
    """Write entries as shards, yielding the index row of each video; complete shards are added to `shards`. Holds one video."""
    remaining = iter(entries)
    for shard_index in itertools.count():
        first_entry = next(remaining, None)
        if first_entry is None:
            return
        name, videos, samples = f"train-{shard_index:06d}.tar", 0, 0
        with (
            writing(folder / name) as file,
            closing(_fill_shard(name, file, itertools.chain([first_entry], remaining), shard_bytes)) as rows,
        ):
            for row in rows:
                videos, samples = videos + 1, samples + len(row.samples)
                yield row
        shards.append(Shard(name, file.sha256, file.size_bytes, videos, samples))


def _fill_shard(shard: str, file: Any, entries: Iterator[ShardEntry], shard_bytes: int) -> Generator[VideoIndexRow]:
    """Write the next videos into one shard, until it is large enough."""
    from webdataset.writer import TarWriter

    offset = 0
    with TarWriter(file, user=USER, group=USER, mode=MODE, mtime=0) as tar:
        for entry in entries:
            # by name, which is how TarWriter sorts them
            members = {"coarse.mp4": entry.coarse, "json": write_document(entry.video, entry.samples), "mp4": entry.grid}
            tar.write({"__key__": entry.key, **members})
            row = _index_row(shard, offset, entry, members)
            yield row
            offset += row.size
            if offset >= shard_bytes:
                return


def _index_row(shard: str, offset: int, entry: ShardEntry, members: dict[str, bytes]) -> VideoIndexRow:
    member_fields: dict[str, Any] = {}
    member_start = offset
    for name, data in zip(("coarse", "json", "grid"), members.values(), strict=True):
        member_fields |= {f"{name}_offset": member_start + BLOCK, f"{name}_size": len(data)}
        member_fields[f"{name}_sha256"] = hashlib.sha256(data).hexdigest()
        member_start += BLOCK + padded(len(data))
    return VideoIndexRow(
        shard=shard, key=entry.key, offset=offset, size=member_start - offset, **member_fields,
        samples=tuple(sample.id for sample in entry.samples),
        visual_tokens=tuple(tokens for tokens, _ in entry.costs), text_bytes=tuple(text for _, text in entry.costs),
    )  # fmt: skip
