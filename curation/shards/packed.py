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
    sample: Id
    corpus: str
    selection: str
    shard: str
    key: str
