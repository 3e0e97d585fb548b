"""The record of where a sample lies in shards."""

from __future__ import annotations

from dataclasses import dataclass

from dmforge.schemas.ids import Id
from dmforge.schemas.records import Record


@dataclass(frozen=True, slots=True)
class Packed(Record):
    """The shard and key at which a sample was packed."""

    kind = "packed"
    table = "packed"

    video: Id
    """The video that the sample is about."""
    sample: Id
    """The sample that was packed."""
    corpus: str
    """The corpus that it belongs to."""
    selection: str
    """The name of the folder of shards: a digest of what was selected."""
    shard: str
    """The file in that folder."""
    key: str
    """How its members in the tar begin."""
