"""A packed selection as one reads it: any sample by its number, from wherever the folder lies."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dmforge.curation.shards.document import ShardSample, ShardVideo, read_document
from dmforge.curation.shards.folders import MANIFEST, parse_manifest
from dmforge.curation.shards.index import INDEX, Places
from dmforge.curation.shards.stores import Store, store
from dmforge.curation.shards.tars import BLOCK, BadShard, split
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError, LakeError


@dataclass(frozen=True, slots=True)
class Example:
    """A sample with its video's renditions."""

    video: ShardVideo
    sample: ShardSample
    coarse: bytes
    grid: bytes


class Corpus:
    """The samples of a selection. Opened again from its place where it is sent to another process."""

    def __init__(self, place: str, clips: Clips | None = None) -> None:
        """With `clips`, a selection whose frames were cut or sized otherwise is refused."""
        self.place, self._wanted = place, clips
        self._store: Store = store(place)
        with self._store.open(MANIFEST) as file:
            self.manifest = parse_manifest(file.read(), f"{place}/{MANIFEST}")
        self.clips = Clips.model_validate(self.manifest.clips)
        if clips is not None and clips.digest != self.clips.digest:
            mend = "train with the clips of the manifest, or pack this corpus from a workspace with yours"
            raise InputError("it was packed with other clips than are asked for", where=f"{place}: [clips]", mend=mend)
        self._names = [shard.name for shard in self.manifest.shards]
        with self._store.open(INDEX) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.manifest.files[INDEX]:  # pyright: ignore
                raise LakeError("a stale index: it is not the one of the manifest", where=f"{place}/{INDEX}", mend=REPACK)
            file.seek(0)
            self._places = Places(file, self._names, f"{place}/{INDEX}")
        if len(self._places) != self.manifest.samples:
            raise LakeError("the index and the manifest disagree", where=f"{place}/{INDEX}", mend=REPACK)

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (self.place, self._wanted)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def costs(self) -> npt.NDArray[np.int64]:
        """About how many tokens each sample has: visual ones exactly, of texts a cautious guess. Mapped, not read."""
        return self._places.samples["cost"]

    def __getitem__(self, number: int) -> Example:
        return self.read([number])[0]

    def read(self, numbers: Sequence[int]) -> list[Example]:
        """Several samples at once: from elsewhere they travel together."""
        places = [self._places.samples[number] for number in numbers]
        videos = [self._places.videos[place["video"]] for place in places]
        asked = [(self._names[video["shard"]], int(video["offset"]), int(video["size"])) for video in videos]
        read = zip(numbers, places, videos, self._store.ranges(asked), strict=True)
        return [self._example(number, place["nth"], video, data) for number, place, video, data in read]

    def _example(self, number: int, nth: int, video: Any, data: bytes) -> Example:
        shard, begin = self._names[video["shard"]], int(video["offset"])
        members: dict[str, bytes] = {}
        key = ""
        for member, suffix in (("coarse", "coarse.mp4"), ("json", "json"), ("grid", "mp4")):
            at, size = int(video[f"{member}_offset"]) - begin, int(video[f"{member}_size"])
            name = data[at - BLOCK : at][: tarfile.LENGTH_NAME].rstrip(b"\0").decode("utf-8", "replace")
            found, found_suffix = split(name)
            key = key or found
            if (found, found_suffix) != (key, suffix) or len(data) < at + size:
                told = f"the index says that {suffix} of sample {number} lies here, and it doesn't: verify the folder"
                raise BadShard(f"{self.place}/{shard}", key, begin + at, told)
            members[suffix] = data[at : at + size]
        told, samples = read_document(members["json"], f"{self.place}/{shard}: {key}")
        if nth >= len(samples):
            raise BadShard(f"{self.place}/{shard}", key, begin, f"it has no sample {nth}: verify the folder")
        return Example(told, samples[nth], members["coarse.mp4"], members["mp4"])


REPACK = "verify the folder; fetch it again, or pack it anew"
