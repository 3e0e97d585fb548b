"""Random access to a packed selection: any sample by its number, from a local or remote folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dmforge.curation.shards.examples import REPACK, Example, PackedVideo
from dmforge.curation.shards.folders import MANIFEST, stored_manifest
from dmforge.curation.shards.index import INDEX, SUFFIXES, SampleLocations, VideoLocation
from dmforge.curation.shards.sampler import BatchSampler, CorpusDataset
from dmforge.curation.shards.stores import ByteRange, Store, open_store
from dmforge.curation.shards.tars import BLOCK, BadShard, split_name
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError, LakeError


class Corpus:
    """The samples of a packed selection. When sent to another process, it is opened again there."""

    def __init__(self, place: str | Path, clips: Clips | None = None) -> None:
        """`place` is a folder of shards, here or at an address, or the file `current` that names one. With `clips`, other
        frames than those are refused."""
        self._store: Store = open_store(str(place))
        place = self._store.place  # what `current` names may change: a corpus stays what it was when it was opened
        self.place, self._required_clips = place, clips
        self.manifest = stored_manifest(self._store)
        self.clips = Clips.from_semantic(self.manifest.clips, where=f"{place}/{MANIFEST}")
        if clips is not None and clips.digest != self.clips.digest:
            hint = "train with the clips of the manifest, or pack this corpus from a workspace with yours"
            raise InputError("it was packed with other clips than are asked for", where=f"{place}: [clips]", hint=hint)
        self._names = [shard.name for shard in self.manifest.shards]
        with self._store.open(INDEX) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.manifest.files[INDEX]:  # pyright: ignore
                raise LakeError("a stale index: it is not the one of the manifest", where=f"{place}/{INDEX}", hint=REPACK)
            file.seek(0)
            self._places = SampleLocations(file, self._names, f"{place}/{INDEX}")
        if len(self._places) != self.manifest.samples:
            raise LakeError("the index and the manifest disagree", where=f"{place}/{INDEX}", hint=REPACK)

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (self.place, self._required_clips)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Example]:
        """Every sample in the order of the shards; each video is read once."""
        for packed in self.videos():
            yield from (Example(packed, index, self.clips) for index in range(len(packed.samples)))

    def __repr__(self) -> str:
        return f"Corpus({self.place!r}): {len(self)} samples of {self.manifest.videos} videos"

    @property
    def costs(self) -> npt.NDArray[np.int64]:
        """Estimated tokens of each sample: visual tokens exactly, text tokens cautiously. Memory-mapped, not read."""
        return self._places.samples["cost"]

    def __getitem__(self, number: int) -> Example:
        return self.read([number])[0]

    def read(self, numbers: Sequence[int]) -> list[Example]:
        """Read several samples at once; from a remote folder they are fetched together."""
        samples = [self._places.samples[number] for number in numbers]
        videos = [self._places.video(sample["video"]) for sample in samples]
        parts_by_video = self._store.read([self._byte_range_of(video) for video in videos])
        packed = map(self._unpack, videos, parts_by_video)
        return [Example(video, int(sample["index"]), self.clips) for sample, video in zip(samples, packed, strict=True)]

    def videos(self) -> Iterator[PackedVideo]:
        """Every video, in the order of the shards."""
        for number in range(len(self._places.videos)):
            place = self._places.video(number)
            (parts,) = self._store.read([self._byte_range_of(place)])
            yield self._unpack(place, parts)

    def dataset(self) -> CorpusDataset:
        """A dataset for a `DataLoader`, to be read in the order of `sampler`."""
        return CorpusDataset([self])

    def sampler(self, *, max_tokens: int, seed: int = 0, rank: int = 0, ranks: int = 1) -> BatchSampler:
        """A batch sampler for a `DataLoader`: batches of at most so many tokens over all ranks, the same on every machine."""
        return BatchSampler([self], seed=seed, max_tokens=max_tokens, rank=rank, ranks=ranks)

    def _byte_range_of(self, place: VideoLocation) -> ByteRange:
        """The parts of a shard that hold a video's members, each with its header."""
        offsets = (place.coarse_offset, place.json_offset, place.grid_offset)
        sizes = (place.coarse_size, place.json_size, place.grid_size)
        members = zip(offsets, sizes, strict=True)
        parts = tuple(part for offset, size in members for part in ((offset - BLOCK, BLOCK), (offset, size)))
        return ByteRange(self._names[place.shard], parts)

    def _unpack(self, place: VideoLocation, parts: list[bytes]) -> PackedVideo:
        _, coarse, _, document, _, grid = parts
        key = split_name(_name(parts[0]))[0]
        expected = [(f"{key}.{suffix}", size) for suffix, size in zip(SUFFIXES, place[4::2], strict=True)]
        shard = f"{self.place}/{self._names[place.shard]}"
        if [(_name(parts[part_index]), len(parts[part_index + 1])) for part_index in (0, 2, 4)] != expected:
            raise BadShard(shard, key, place.offset, "the index is of another shard: verify the folder")
        return PackedVideo(key, coarse, grid, document, f"{shard}: {key}")


def _name(header: bytes) -> str:
    return header[:NAME_BYTES].rstrip(b"\0").decode("utf-8", "replace")


NAME_BYTES = 100
"""Of a header: where the name stands."""
