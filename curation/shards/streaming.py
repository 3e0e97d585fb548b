"""The same tars as a `webdataset` pipeline, for those who train elsewhere: samples in the order of the shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Any

from dmforge.curation.shards.document import read_document
from dmforge.curation.shards.folders import MANIFEST, MAX_MANIFEST, parse_manifest
from dmforge.curation.shards.stores import Store, store
from dmforge.curation.shards.tars import walk


def stream(url: str) -> Any:
    """A `webdataset.DataPipeline` over a folder of shards: dicts of `__key__`, `coarse.mp4`, `mp4`, `video` and `sample`.

    Its members are read by our own walker, so nothing is run, unpickled or believed. Shards are divided among ranks and workers
    whole: for equal steps on every rank, and to go on in the middle, use `BatchSampler`.
    """
    import webdataset

    wds: Any = webdataset  # its names are made at run time
    lies = store(url)
    with lies.open(MANIFEST) as file:
        manifest = parse_manifest(file.read(MAX_MANIFEST + 1), f"{url}/{MANIFEST}")

    def members(sources: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for source in sources:
            yield from _members(lies, source["url"])

    def samples(videos: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for video in videos:
            yield from _samples(video)

    return wds.DataPipeline(
        wds.SimpleShardList([shard.name for shard in manifest.shards]),
        wds.split_by_node,
        wds.split_by_worker,
        members,
        wds.tariterators.group_by_keys,
        samples,
    )


def _members(lies: Store, shard: str) -> Iterator[dict[str, Any]]:
    with lies.open(shard) as file:
        for member in walk(file, shard):
            yield {"fname": member.name, "data": _bytes(file, member.offset, member.size), "__url__": shard}


def _bytes(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _samples(video: dict[str, Any]) -> Iterator[dict[str, Any]]:
    told, samples = read_document(video["json"], f"{video['__url__']}: {video['__key__']}")
    for sample in samples:
        yield {
            "__key__": video["__key__"],
            "__url__": video["__url__"],
            "coarse.mp4": video["coarse.mp4"],
            "mp4": video["mp4"],
            "video": asdict(told),
            "sample": sample,
        }
