"""Where samples lie in packed shards: the tar, the key, and the bytes of each member."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dmforge.curation.audit.stored_rows import StoredRow
from dmforge.curation.shards.index import INDEX, SUFFIXES, find_row
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import Id, show


@dataclass(frozen=True, slots=True)
class SampleMember:
    """A file in a tar."""

    name: str
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PackedSample:
    """A sample in a shard."""

    sample: str
    corpus: str
    selection: str
    path: Path
    key: str
    offset: int
    """Where the video's first header begins."""
    size: int
    members: tuple[SampleMember, ...]
    nth: int
    """Which of the document's samples it is."""


def places(workspace: WorkspaceFolder, packed: Iterable[StoredRow], names: Mapping[Id, str]) -> Iterator[PackedSample]:
    """Where packed samples lie, as far as the shards are still there."""
    for row in packed:
        values = row.values
        folder = workspace.shards / values["corpus"] / values["selection"]
        place = find_row(folder / INDEX, values["key"]) if (folder / INDEX).is_file() else None
        if place is None:
            continue
        members = tuple(
            SampleMember(
                f"{place.key}.{suffix}", *(getattr(place, f"{name}_{field}") for field in ("offset", "size", "sha256"))
            )
            for suffix, name in zip(SUFFIXES, ("coarse", "json", "grid"), strict=True)
        )
        sample = names.get(values["sample"]) or show("sample", values["sample"])
        index = place.samples.index(sample) if sample in place.samples else -1
        path = folder / values["shard"]
        yield PackedSample(
            sample, values["corpus"], values["selection"], path, place.key, place.offset, place.size, members, index
        )
