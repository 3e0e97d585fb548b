"""Every byte of a folder of shards against what is said about it: a bit that was flipped anywhere is found, and where."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from dmforge.curation.shards.document import read_document
from dmforge.curation.shards.folders import MANIFEST, MAX_MANIFEST, Manifest, Shard, parse_manifest
from dmforge.curation.shards.index import INDEX, SUFFIXES, Row, read_rows
from dmforge.curation.shards.stores import Store, store
from dmforge.curation.shards.tars import BadShard, Member, header, walk
from dmforge.schemas.errors import DmforgeError, LakeError

CHUNK = 1 << 20
REPLACE = "fetch the folder again; or, in a workspace, remove it and the files in lake/commits/pack, and run: it is packed anew"


@dataclass(frozen=True, slots=True)
class Defect:
    """A place in a folder of shards that is not as it was packed."""

    shard: str
    """Or another file of the folder."""
    key: str
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.shard}: {self.key or '-'} at {self.offset}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Verified:
    """What a folder holds, and what is wrong with it."""

    shards: int
    samples: int
    bytes: int
    defects: tuple[Defect, ...]


def verify(place: str) -> Verified:
    """Check a folder, here or elsewhere."""
    lies = store(place)
    with lies.open(MANIFEST) as file:
        data = file.read(MAX_MANIFEST + 1)
    try:
        manifest = parse_manifest(data, f"{place}/{MANIFEST}")
    except DmforgeError as error:
        return Verified(0, 0, 0, (Defect(MANIFEST, "", 0, error.message),))
    defects = tuple(_defects(lies, manifest))
    return Verified(len(manifest.shards), manifest.samples, manifest.bytes, defects)


def require_undamaged(place: str) -> None:
    """Check a folder before anything is made of it."""
    defects = verify(place).defects
    if defects:
        told = f"{len(defects)} defects; the first: {defects[0]}"
        raise LakeError(told, where=place, mend=f"{REPLACE}; dmforge verify names all")


def _defects(lies: Store, manifest: Manifest) -> Iterator[Defect]:
    rows: list[Row] | None = None
    for name, sha256 in manifest.files.items():
        try:
            with lies.open(name) as file:
                if _sha256(file) != sha256:
                    yield Defect(name, "", 0, "not the file that was packed")
                elif name == INDEX:
                    file.seek(0)
                    rows = read_rows(file, f"{lies.place}/{name}")
        except DmforgeError as error:
            yield Defect(name, "", 0, error.message)
    by_shard: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows or ():
        by_shard[row.shard].append(row)
    for shard in manifest.shards:
        try:
            with lies.open(shard.name) as file:
                own = None if rows is None else by_shard[shard.name]
                found = list(_of_members(file, shard, own))
                yield from found
                # all that lies between and behind members is zeros; whatever else was changed, the whole tells
                if not found and _sha256(file) != shard.sha256:
                    yield Defect(shard.name, "", _length(file), "bytes that belong to no member were changed")
        except BadShard as error:
            yield Defect(shard.name, error.key, error.offset, error.reason)
        except DmforgeError as error:
            yield Defect(shard.name, "", 0, error.message)


def _of_members(file: IO[bytes], shard: Shard, rows: list[Row] | None) -> Iterator[Defect]:
    """What is wrong inside a shard, as far as it can be walked."""
    expected = {name: place for row in rows or () for name, place in _places(row).items()}
    seen: set[str] = set()
    for member in walk(file, shard.name):
        seen.add(member.name)
        yield from _of_layout(file, shard.name, member)
        if rows is None:
            continue
        if member.name not in expected:
            yield Defect(shard.name, member.key, member.header, f"a member that the index doesn't know: {member.name!r}")
            continue
        offset, size, sha256 = expected[member.name]
        if (member.offset, member.size) != (offset, size):
            yield Defect(shard.name, member.key, member.offset, f"{member.name!r} lies elsewhere than the index says")
        elif _sha256(file, member.offset, member.size) != sha256:
            yield Defect(shard.name, member.key, member.offset, f"the bytes of {member.name!r} were changed")
    for name in sorted(set(expected) - seen):
        yield Defect(shard.name, name.partition(".")[0], expected[name][0], f"{name!r} is missing")
    for row in rows or ():
        file.seek(row.json_offset)
        told = file.read(row.json_size)
        if hashlib.sha256(told).hexdigest() != row.json_sha256:
            continue  # said above
        _, samples = read_document(told, f"{shard.name}: {row.key}")
        if tuple(sample.id for sample in samples) != row.samples:
            yield Defect(shard.name, row.key, row.json_offset, "its samples are others than the index says")


def _places(row: Row) -> dict[str, tuple[int, int, str]]:
    coarse, json, grid = (f"{row.key}.{suffix}" for suffix in SUFFIXES)
    return {
        coarse: (row.coarse_offset, row.coarse_size, row.coarse_sha256),
        json: (row.json_offset, row.json_size, row.json_sha256),
        grid: (row.grid_offset, row.grid_size, row.grid_sha256),
    }


def _of_layout(file: IO[bytes], shard: str, member: Member) -> Iterator[Defect]:
    """Headers are ours to the last byte, and what fills up a block is zeros."""
    file.seek(member.header)
    found, wanted = file.read(member.offset - member.header), header(member.name, member.size)
    if found != wanted:
        yield Defect(shard, member.key, member.header + _differs(found, wanted), f"the header of {member.name!r} was changed")
    file.seek(member.offset + member.size)
    filling = file.read(member.end - member.offset - member.size)
    if any(filling):
        at = member.offset + member.size + _differs(filling, bytes(len(filling)))
        yield Defect(shard, member.key, at, f"something stands behind {member.name!r}")


def _differs(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _sha256(file: IO[bytes], offset: int = 0, size: int | None = None) -> str:
    file.seek(offset)
    left, whole = size, hashlib.sha256()
    while left is None or left > 0:
        chunk = file.read(CHUNK if left is None else min(CHUNK, left))
        if not chunk:
            break
        whole.update(chunk)
        left = None if left is None else left - len(chunk)
    return whole.hexdigest()


def _length(file: IO[bytes]) -> int:
    return file.seek(0, 2)
