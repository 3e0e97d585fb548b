"""Samples as they are read from shards, each with its video's renditions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dmforge.curation.shards.document import ShardSample, ShardVideo, read_document
from dmforge.curation.shards.example_card import card_html
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError

REPACK = "verify the folder; fetch it again, or pack it anew"


@dataclass(frozen=True)
class PackedVideo:
    """A video with all of its samples. Its document is parsed on first access."""

    key: str
    coarse: bytes
    grid: bytes
    document: bytes
    where: str

    @property
    def video(self) -> ShardVideo:
        return self._document[0]

    @property
    def samples(self) -> list[ShardSample]:
        return self._document[1]

    @cached_property
    def _document(self) -> tuple[ShardVideo, list[ShardSample]]:
        return read_document(self.document, self.where)


@dataclass(frozen=True)
class Example:
    """A sample with its video's renditions."""

    packed: PackedVideo
    index: int
    clips: Clips
    """How its frames were cut and sized."""

    @property
    def video(self) -> ShardVideo:
        return self.packed.video

    @property
    def coarse(self) -> bytes:
        return self.packed.coarse

    @property
    def grid(self) -> bytes:
        return self.packed.grid

    @property
    def sample(self) -> ShardSample:
        if self.index >= len(self.packed.samples):
            message = f"it has no sample {self.index}: the index is of other shards, verify the folder"
            raise InputError(message, where=self.packed.where, hint=REPACK)
        return self.packed.samples[self.index]

    def __repr__(self) -> str:
        return f"Example({self.sample.id}, {self.sample.kind}: {self.sample.question!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: a card with the frames that the model is shown."""
        return card_html(self.sample, self.video, self.coarse, self.grid, self.clips)
