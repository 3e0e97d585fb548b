"""A folder of shards as a `webdataset` pipeline, for other trainers: samples in the order of the shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from dmforge.curation.io.byte_ranges import read_range
from dmforge.curation.shards.document import read_document
from dmforge.curation.shards.folders import stored_manifest
from dmforge.curation.shards.stores import Store, open_store
from dmforge.curation.shards.tars import walk


def stream(place: str) -> Any:
    """A `webdataset.DataPipeline` over a folder of shards: dicts of `__key__`, `coarse.mp4`, `mp4`, `video` and `sample`.

    Members are read by dmforge's own walker, so nothing is executed, unpickled or trusted. Whole shards are divided among ranks
    and workers: for equal steps on every rank, and to resume in the middle, use `BatchSampler`.
    """
    import webdataset

    webdataset_module: Any = webdataset  # its names are made at run time
    shard_store = open_store(place)
    shards = [shard.name for shard in stored_manifest(shard_store).shards]

    def members(sources: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for shard_source in sources:
            yield from _members(shard_store, shard_source["url"])

    def samples(videos: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for video_members in videos:
            yield from _samples(video_members)

    return webdataset_module.DataPipeline(
        webdataset_module.SimpleShardList(shards),
        webdataset_module.split_by_node,
        webdataset_module.split_by_worker,
        members,
        webdataset_module.tariterators.group_by_keys,
        samples,
    )


def _members(shard_store: Store, shard_name: str) -> Iterator[dict[str, Any]]:
    with shard_store.open(shard_name) as shard_file:
        for member in walk(shard_file, shard_name):
            yield {"fname": member.name, "data": read_range(shard_file, member.offset, member.size), "__url__": shard_name}


def _samples(member_bytes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    shard_video, document_samples = read_document(member_bytes["json"], f"{member_bytes['__url__']}: {member_bytes['__key__']}")
    for sample in document_samples:
        yield {
            "__key__": member_bytes["__key__"],
            "__url__": member_bytes["__url__"],
            "coarse.mp4": member_bytes["coarse.mp4"],
            "mp4": member_bytes["mp4"],
            "video": asdict(shard_video),
            "sample": sample,
        }
