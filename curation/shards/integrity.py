"""Checks every byte of a folder of shards against its manifest and index: any flipped bit is found and located."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

from dmforge.curation.io.byte_ranges import read_range, sha256_of_range
from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.curation.shards.document import read_document
from dmforge.curation.shards.folders import MANIFEST, Manifest, Shard, manifest_bytes, parse_manifest
from dmforge.curation.shards.index import INDEX, SUFFIXES, VideoIndexRow, read_rows
from dmforge.curation.shards.stores import Store, open_store
from dmforge.curation.shards.tars import BadShard, TarMember, header, walk
from dmforge.schemas.errors import DmforgeError, LakeError

REFETCH_HINT = (
    "fetch the folder again; or, in a workspace, remove it and the files in lake/commits/pack, and run: it is packed anew"
)


@dataclass(frozen=True, slots=True)
class ShardDefect:
    """A place in a folder of shards that is not as it was packed."""

    shard: str
    """The file: a shard, or another one of the folder."""
    key: str
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.shard}: {self.key or '-'} at {self.offset}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ShardReport(CommandResult):
    """What a folder of shards holds, and its defects."""

    shards: int
    samples: int
    bytes: int
    defects: tuple[ShardDefect, ...]

    def as_json(self) -> dict[str, Any]:
        return {"ok": not self.defects, **asdict(self)}

    def blocks(self) -> Iterator[Block]:
        yield from map(str, self.defects)
        if self.defects:
            yield "1 defect" if len(self.defects) == 1 else f"{len(self.defects)} defects"
        else:
            yield f"sound: {self.samples} samples in {self.shards} shards, {self.bytes} bytes"


def verify(location: str) -> ShardReport:
    """Check a folder of shards, local or remote."""
    shard_store = open_store(location)
    manifest_data = manifest_bytes(shard_store)
    try:
        manifest = parse_manifest(manifest_data, f"{location}/{MANIFEST}")
    except DmforgeError as error:
        return ShardReport(0, 0, 0, (ShardDefect(MANIFEST, "", 0, error.message),))
    shard_defects = tuple(_defects(shard_store, manifest))
    return ShardReport(len(manifest.shards), manifest.samples, manifest.bytes, shard_defects)


def require_undamaged(location: str) -> None:
    """Refuse a folder of shards that has any defect."""
    shard_defects = verify(location).defects
    if shard_defects:
        message = f"{len(shard_defects)} defects; the first: {shard_defects[0]}"
        raise LakeError(message, where=location, hint=f"{REFETCH_HINT}; dmforge verify names all")


def _defects(shard_store: Store, manifest: Manifest) -> Iterator[ShardDefect]:
    index_rows: list[VideoIndexRow] | None = None
    for file_name, declared_sha256 in manifest.files.items():
        try:
            with shard_store.open(file_name) as stored_file:
                if sha256_of_range(stored_file) != declared_sha256:
                    yield ShardDefect(file_name, "", 0, "not the file that was packed")
                elif file_name == INDEX:
                    stored_file.seek(0)
                    index_rows = read_rows(stored_file, f"{shard_store.place}/{file_name}")
        except DmforgeError as error:
            yield ShardDefect(file_name, "", 0, error.message)
    rows_by_shard: defaultdict[str, list[VideoIndexRow]] = defaultdict(list)
    for index_row in index_rows or ():
        rows_by_shard[index_row.shard].append(index_row)
    for shard in manifest.shards:
        try:
            with shard_store.open(shard.name) as stored_file:
                shard_rows = None if index_rows is None else rows_by_shard[shard.name]
                member_defects = list(_check_members(stored_file, shard, shard_rows))
                yield from member_defects
                # between and behind members there are zeros only: the hash of the whole shard finds other changes
                if not member_defects and sha256_of_range(stored_file) != shard.sha256:
                    yield ShardDefect(shard.name, "", _length(stored_file), "bytes that belong to no member were changed")
        except BadShard as error:
            yield ShardDefect(shard.name, error.key, error.offset, error.reason)
        except DmforgeError as error:
            yield ShardDefect(shard.name, "", 0, error.message)


def _check_members(file: IO[bytes], shard: Shard, index_rows: list[VideoIndexRow] | None) -> Iterator[ShardDefect]:
    """The defects inside a shard, as far as its members can be walked."""
    expected_by_name = {
        member_name: member_place
        for index_row in index_rows or ()
        for member_name, member_place in _expected_members(index_row).items()
    }
    seen_names: set[str] = set()
    for member in walk(file, shard.name):
        seen_names.add(member.name)
        yield from _check_layout(file, shard.name, member)
        if index_rows is None:
            continue
        if member.name not in expected_by_name:
            yield ShardDefect(shard.name, member.key, member.header, f"a member that the index doesn't know: {member.name!r}")
            continue
        expected_offset, expected_size, expected_sha256 = expected_by_name[member.name]
        if (member.offset, member.size) != (expected_offset, expected_size):
            yield ShardDefect(shard.name, member.key, member.offset, f"{member.name!r} lies elsewhere than the index says")
        elif sha256_of_range(file, member.offset, member.size) != expected_sha256:
            yield ShardDefect(shard.name, member.key, member.offset, f"the bytes of {member.name!r} were changed")
    for member_name in sorted(set(expected_by_name) - seen_names):
        yield ShardDefect(
            shard.name, member_name.partition(".")[0], expected_by_name[member_name][0], f"{member_name!r} is missing"
        )
    for index_row in index_rows or ():
        document_bytes = read_range(file, index_row.json_offset, index_row.json_size)
        if hashlib.sha256(document_bytes).hexdigest() != index_row.json_sha256:
            continue  # already reported above
        _, document_samples = read_document(document_bytes, f"{shard.name}: {index_row.key}")
        if tuple(sample.id for sample in document_samples) != index_row.samples:
            yield ShardDefect(shard.name, index_row.key, index_row.json_offset, "its samples are others than the index says")


def _expected_members(row: VideoIndexRow) -> dict[str, tuple[int, int, str]]:
    coarse_name, json_name, grid_name = (f"{row.key}.{member_suffix}" for member_suffix in SUFFIXES)
    return {
        coarse_name: (row.coarse_offset, row.coarse_size, row.coarse_sha256),
        json_name: (row.json_offset, row.json_size, row.json_sha256),
        grid_name: (row.grid_offset, row.grid_size, row.grid_sha256),
    }


def _check_layout(file: IO[bytes], shard_name: str, member: TarMember) -> Iterator[ShardDefect]:
    """The defects of a member's header, which is written by dmforge to the last byte, and of its padding, which is zeros."""
    actual_header, expected_header = (
        read_range(file, member.header, member.offset - member.header),
        header(member.name, member.size),
    )
    if actual_header != expected_header:
        yield ShardDefect(
            shard_name,
            member.key,
            member.header + _first_difference(actual_header, expected_header),
            f"the header of {member.name!r} was changed",
        )
    padding_bytes = read_range(file, member.offset + member.size, member.end - member.offset - member.size)
    if any(padding_bytes):
        fault_offset = member.offset + member.size + _first_difference(padding_bytes, bytes(len(padding_bytes)))
        yield ShardDefect(shard_name, member.key, fault_offset, f"something stands behind {member.name!r}")


def _first_difference(data_a: bytes, data_b: bytes) -> int:
    byte_pairs = enumerate(zip(data_a, data_b, strict=False))
    return next(
        (byte_offset for byte_offset, (byte_a, byte_b) in byte_pairs if byte_a != byte_b), min(len(data_a), len(data_b))
    )


def _length(file: IO[bytes]) -> int:
    return file.seek(0, 2)
