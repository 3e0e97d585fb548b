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
        with self._store.open(INDEX) as index_file:
            if hashlib.file_digest(index_file, "sha256").hexdigest() != self.manifest.files[INDEX]:  # pyright: ignore
                raise LakeError("a stale index: it is not the one of the manifest", where=f"{place}/{INDEX}", hint=REPACK)
            index_file.seek(0)
            self._places = SampleLocations(index_file, self._names, f"{place}/{INDEX}")
        if len(self._places) != self.manifest.samples:
            raise LakeError("the index and the manifest disagree", where=f"{place}/{INDEX}", hint=REPACK)

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (self.place, self._required_clips)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Example]:
        """Every sample in the order of the shards; each video is read once."""
        for packed_video in self.videos():
            yield from (Example(packed_video, sample_index, self.clips) for sample_index in range(len(packed_video.samples)))

    def __repr__(self) -> str:
        return f"Corpus({self.place!r}): {len(self)} samples of {self.manifest.videos} videos"

    @property
    def costs(self) -> npt.NDArray[np.int64]:
        """Estimated tokens of each sample: visual tokens exactly, text tokens cautiously. Memory-mapped, not read."""
        return self._places.samples["cost"]

    def __getitem__(self, sample_number: int) -> Example:
        return self.read([sample_number])[0]

    def read(self, sample_numbers: Sequence[int]) -> list[Example]:
        """Read several samples at once; from a remote folder they are fetched together."""
        sample_places = [self._places.samples[sample_number] for sample_number in sample_numbers]
        video_places = [self._places.video(sample_place["video"]) for sample_place in sample_places]
        parts_by_video = self._store.read([self._byte_range_of(video_place) for video_place in video_places])
        packed_videos = map(self._unpack, video_places, parts_by_video)
        return [
            Example(packed_video, int(sample_place["index"]), self.clips)
            for sample_place, packed_video in zip(sample_places, packed_videos, strict=True)
        ]

    def spread(self, max_samples: int) -> list[int]:
        """The numbers of at most so many samples, evenly over the corpus."""
        return np.linspace(0, len(self) - 1, min(max_samples, len(self))).round().astype(int).tolist()

    def videos(self) -> Iterator[PackedVideo]:
        """Every video, in the order of the shards."""
        return map(self.video, range(self.video_count))

    @property
    def video_count(self) -> int:
        return len(self._places.videos)

    def video(self, video_number: int) -> PackedVideo:
        """A video by its number, in the order of the shards."""
        video_place = self._places.video(video_number)
        (byte_parts,) = self._store.read([self._byte_range_of(video_place)])
        return self._unpack(video_place, byte_parts)

    def video_key(self, video_number: int) -> str:
        """The key of a video, for which its renditions are not read."""
        video_place = self._places.video(video_number)
        header = ByteRange(self._names[video_place.shard], ((video_place.json_offset - BLOCK, BLOCK),))
        ((header_bytes,),) = self._store.read([header])
        return split_name(_name(header_bytes))[0]

    def dataset(self) -> CorpusDataset:
        """A dataset for a `DataLoader`, to be read in the order of `sampler`."""
        return CorpusDataset([self])

    def sampler(self, *, max_tokens: int, seed: int = 0, rank: int = 0, ranks: int = 1) -> BatchSampler:
        """A batch sampler for a `DataLoader`: batches of at most so many tokens over all ranks, the same on every machine."""
        return BatchSampler([self], seed=seed, max_tokens=max_tokens, rank=rank, ranks=ranks)

    def _byte_range_of(self, video_place: VideoLocation) -> ByteRange:
        """The parts of a shard that hold a video's members, each with its header."""
        member_offsets = (video_place.coarse_offset, video_place.json_offset, video_place.grid_offset)
        member_sizes = (video_place.coarse_size, video_place.json_size, video_place.grid_size)
        member_extents = zip(member_offsets, member_sizes, strict=True)
        byte_parts = tuple(
            byte_part
            for member_offset, member_size in member_extents
            for byte_part in ((member_offset - BLOCK, BLOCK), (member_offset, member_size))
        )
        return ByteRange(self._names[video_place.shard], byte_parts)

    def _unpack(self, video_place: VideoLocation, byte_parts: list[bytes]) -> PackedVideo:
        _, coarse_bytes, _, document_bytes, _, grid_bytes = byte_parts
        video_key = split_name(_name(byte_parts[0]))[0]
        expected_members = [
            (f"{video_key}.{member_suffix}", member_size)
            for member_suffix, member_size in zip(SUFFIXES, video_place[4::2], strict=True)
        ]
        shard_path = f"{self.place}/{self._names[video_place.shard]}"
        if [(_name(byte_parts[part_index]), len(byte_parts[part_index + 1])) for part_index in (0, 2, 4)] != expected_members:
            raise BadShard(shard_path, video_key, video_place.offset, "the index is of another shard: verify the folder")
        return PackedVideo(video_key, coarse_bytes, grid_bytes, document_bytes, f"{shard_path}: {video_key}")


def _name(header: bytes) -> str:
    return header[:NAME_BYTES].rstrip(b"\0").decode("utf-8", "replace")


NAME_BYTES = 100
"""Of a header: where the name stands."""
