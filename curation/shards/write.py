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
    index_rows = list(fill_shards(folder, entries, shard_bytes, shards))
    return shards, index_rows


def fill_shards(
    folder: Path, entries: Iterable[ShardEntry], shard_bytes: int, shards: list[Shard], *, with_limits: bool = False
) -> Generator[VideoIndexRow]:
    """Write entries as shards, yielding the index row of each video; complete shards are added to `shards`. Holds one video."""
    entry_iterator = iter(entries)
    for shard_index in itertools.count():
        first_entry = next(entry_iterator, None)
        if first_entry is None:
            return
        shard_name, video_count, sample_count = f"train-{shard_index:06d}.tar", 0, 0
        shard_entries = itertools.chain([first_entry], entry_iterator)
        with (
            writing(folder / shard_name) as file,
            closing(_fill_shard(shard_name, file, shard_entries, shard_bytes, with_limits)) as index_rows,
        ):
            for index_row in index_rows:
                video_count, sample_count = video_count + 1, sample_count + len(index_row.samples)
                yield index_row
        shards.append(Shard(shard_name, file.sha256, file.size_bytes, video_count, sample_count))


def _fill_shard(
    shard: str, file: Any, entries: Iterator[ShardEntry], shard_bytes: int, with_limits: bool
) -> Generator[VideoIndexRow]:
    """Write the next videos into one shard, until it is large enough."""
    from webdataset.writer import TarWriter

    shard_offset = 0
    with TarWriter(file, user=USER, group=USER, mode=MODE, mtime=0) as tar:
        for shard_entry in entries:
            # by name, which is how TarWriter sorts them
            bytes_by_suffix = {
                "coarse.mp4": shard_entry.coarse,
                "json": write_document(shard_entry.video, shard_entry.samples, with_limits=with_limits),
                "mp4": shard_entry.grid,
            }
            tar.write({"__key__": shard_entry.key, **bytes_by_suffix})
            index_row = _index_row(shard, shard_offset, shard_entry, bytes_by_suffix)
            yield index_row
            shard_offset += index_row.size
            if shard_offset >= shard_bytes:
                return


def _index_row(shard: str, entry_offset: int, shard_entry: ShardEntry, bytes_by_suffix: dict[str, bytes]) -> VideoIndexRow:
    member_fields: dict[str, Any] = {}
    member_start = entry_offset
    for member_name, member_data in zip(("coarse", "json", "grid"), bytes_by_suffix.values(), strict=True):
        member_fields |= {f"{member_name}_offset": member_start + BLOCK, f"{member_name}_size": len(member_data)}
        member_fields[f"{member_name}_sha256"] = hashlib.sha256(member_data).hexdigest()
        member_start += BLOCK + padded(len(member_data))
    return VideoIndexRow(
        shard=shard, key=shard_entry.key, offset=entry_offset, size=member_start - entry_offset, **member_fields,
        samples=tuple(sample.id for sample in shard_entry.samples),
        visual_tokens=tuple(visual_tokens for visual_tokens, _ in shard_entry.costs),
        text_bytes=tuple(text_bytes for _, text_bytes in shard_entry.costs),
    )  # fmt: skip
