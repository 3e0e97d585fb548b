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


def places(
    workspace: WorkspaceFolder, packed_rows: Iterable[StoredRow], printed_id_by_id: Mapping[Id, str]
) -> Iterator[PackedSample]:
    """Where packed samples lie, as far as the shards are still there."""
    for packed_row in packed_rows:
        packed_values = packed_row.values
        selection_folder = workspace.shards / packed_values["corpus"] / packed_values["selection"]
        index_row = find_row(selection_folder / INDEX, packed_values["key"]) if (selection_folder / INDEX).is_file() else None
        if index_row is None:
            continue
        tar_members = tuple(
            SampleMember(
                f"{index_row.key}.{suffix}",
                *(getattr(index_row, f"{member_column}_{member_field}") for member_field in ("offset", "size", "sha256")),
            )
            for suffix, member_column in zip(SUFFIXES, ("coarse", "json", "grid"), strict=True)
        )
        printed_sample_id = printed_id_by_id.get(packed_values["sample"]) or show("sample", packed_values["sample"])
        sample_position = index_row.samples.index(printed_sample_id) if printed_sample_id in index_row.samples else -1
        shard_path = selection_folder / packed_values["shard"]
        yield PackedSample(
            printed_sample_id,
            packed_values["corpus"],
            packed_values["selection"],
            shard_path,
            index_row.key,
            index_row.offset,
            index_row.size,
            tar_members,
            sample_position,
        )
