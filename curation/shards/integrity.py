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
    data = manifest_bytes(shard_store)
    try:
        manifest = parse_manifest(data, f"{location}/{MANIFEST}")
    except DmforgeError as error:
        return ShardReport(0, 0, 0, (ShardDefect(MANIFEST, "", 0, error.message),))
    defects = tuple(_defects(shard_store, manifest))
    return ShardReport(len(manifest.shards), manifest.samples, manifest.bytes, defects)


def require_undamaged(location: str) -> None:
    """Refuse a folder of shards that has any defect."""
    defects = verify(location).defects
    if defects:
        message = f"{len(defects)} defects; the first: {defects[0]}"
        raise LakeError(message, where=location, hint=f"{REFETCH_HINT}; dmforge verify names all")


def _defects(shard_store: Store, manifest: Manifest) -> Iterator[ShardDefect]:
    rows: list[VideoIndexRow] | None = None
    for name, sha256 in manifest.files.items():
        try:
            with shard_store.open(name) as file:
                if sha256_of_range(file) != sha256:
                    yield ShardDefect(name, "", 0, "not the file that was packed")
                elif name == INDEX:
                    file.seek(0)
                    rows = read_rows(file, f"{shard_store.place}/{name}")
        except DmforgeError as error:
            yield ShardDefect(name, "", 0, error.message)
    by_shard: defaultdict[str, list[VideoIndexRow]] = defaultdict(list)
    for row in rows or ():
        by_shard[row.shard].append(row)
    for shard in manifest.shards:
        try:
            with shard_store.open(shard.name) as file:
                shard_rows = None if rows is None else by_shard[shard.name]
                member_defects = list(_check_members(file, shard, shard_rows))
                yield from member_defects
                # between and behind members there are zeros only: the hash of the whole shard finds other changes
                if not member_defects and sha256_of_range(file) != shard.sha256:
                    yield ShardDefect(shard.name, "", _length(file), "bytes that belong to no member were changed")
        except BadShard as error:
            yield ShardDefect(shard.name, error.key, error.offset, error.reason)
        except DmforgeError as error:
            yield ShardDefect(shard.name, "", 0, error.message)


def _check_members(file: IO[bytes], shard: Shard, rows: list[VideoIndexRow] | None) -> Iterator[ShardDefect]:
    """The defects inside a shard, as far as its members can be walked."""
    expected = {name: member_place for row in rows or () for name, member_place in _expected_members(row).items()}
    seen: set[str] = set()
    for member in walk(file, shard.name):
        seen.add(member.name)
        yield from _check_layout(file, shard.name, member)
        if rows is None:
            continue
        if member.name not in expected:
            yield ShardDefect(shard.name, member.key, member.header, f"a member that the index doesn't know: {member.name!r}")
            continue
        offset, size, sha256 = expected[member.name]
        if (member.offset, member.size) != (offset, size):
            yield ShardDefect(shard.name, member.key, member.offset, f"{member.name!r} lies elsewhere than the index says")
        elif sha256_of_range(file, member.offset, member.size) != sha256:
            yield ShardDefect(shard.name, member.key, member.offset, f"the bytes of {member.name!r} were changed")
    for name in sorted(set(expected) - seen):
        yield ShardDefect(shard.name, name.partition(".")[0], expected[name][0], f"{name!r} is missing")
    for row in rows or ():
        document = read_range(file, row.json_offset, row.json_size)
        if hashlib.sha256(document).hexdigest() != row.json_sha256:
            continue  # already reported above
        _, samples = read_document(document, f"{shard.name}: {row.key}")
        if tuple(sample.id for sample in samples) != row.samples:
            yield ShardDefect(shard.name, row.key, row.json_offset, "its samples are others than the index says")


def _expected_members(row: VideoIndexRow) -> dict[str, tuple[int, int, str]]:
    coarse, json, grid = (f"{row.key}.{suffix}" for suffix in SUFFIXES)
    return {
        coarse: (row.coarse_offset, row.coarse_size, row.coarse_sha256),
        json: (row.json_offset, row.json_size, row.json_sha256),
        grid: (row.grid_offset, row.grid_size, row.grid_sha256),
    }


def _check_layout(file: IO[bytes], shard: str, member: TarMember) -> Iterator[ShardDefect]:
    """The defects of a member's header, which is written by dmforge to the last byte, and of its padding, which is zeros."""
    actual, expected = read_range(file, member.header, member.offset - member.header), header(member.name, member.size)
    if actual != expected:
        yield ShardDefect(
            shard, member.key, member.header + _first_difference(actual, expected), f"the header of {member.name!r} was changed"
        )
    padding = read_range(file, member.offset + member.size, member.end - member.offset - member.size)
    if any(padding):
        offset = member.offset + member.size + _first_difference(padding, bytes(len(padding)))
        yield ShardDefect(shard, member.key, offset, f"something stands behind {member.name!r}")


def _first_difference(data_a: bytes, data_b: bytes) -> int:
    pairs = enumerate(zip(data_a, data_b, strict=False))
    return next((offset for offset, (a, b) in pairs if a != b), min(len(data_a), len(data_b)))


def _length(file: IO[bytes]) -> int:
    return file.seek(0, 2)
