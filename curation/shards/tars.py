"""The tar format of shards: the exact layout that dmforge writes, and a walker that trusts no tar.

A member is a plain file with a plain name. Links, devices, names that leave the folder, sizes beyond reason: refused, with the
shard, the key and the offset. Nothing is ever extracted to a path that a tar names, and nothing is unpickled.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from dmforge.curation.io.byte_ranges import read_range
from dmforge.schemas.errors import DmforgeError

BLOCK = 512
MODE, USER = 0o644, "dmforge"
"""Mode and owner in each header that dmforge writes, so that it doesn't matter who packs, or when."""
MAX_MEMBER = 4 << 30
MAX_EXTRAS = 1 << 16
"""The most bytes of an extended header: times and names need a few hundred."""
ALLOWED_KEYWORDS = frozenset({"mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "path"})
"""Keywords that an extended header may have. Sizes and links are for the plain header alone."""


class BadShard(DmforgeError):
    """A shard is not what it should be."""

    def __init__(self, shard: str, key: str, offset: int, reason: str) -> None:
        super().__init__(reason, where=f"{shard}: {key or '-'} at {offset}", hint="fetch the shard again, or pack it anew")
        self.shard, self.key, self.offset, self.reason = shard, key, offset, reason


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in a tar."""

    name: str
    header: int
    """The offset of its header, extended headers included."""
    offset: int
    """The offset of its content."""
    size: int

    @property
    def end(self) -> int:
        """The offset of the next header."""
        return self.offset + padded(self.size)

    @property
    def key(self) -> str:
        """The key that members of one video share: the name up to the first dot."""
        return split_name(self.name)[0]

    @property
    def suffix(self) -> str:
        return split_name(self.name)[1]


def split_name(name: str) -> tuple[str, str]:
    """Split a member's name into key and suffix: `a/b.coarse.mp4` is `a/b` and `coarse.mp4`."""
    folder, slash, file = name.rpartition("/")
    key, _, suffix = file.partition(".")
    return folder + slash + key, suffix


def padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def header(name: str, size: int) -> bytes:
    """The tar header that dmforge writes for a member."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uname, info.gname = size, MODE, USER, USER
    return info.tobuf(tarfile.USTAR_FORMAT)


def walk(file: IO[bytes], shard: str) -> Iterator[TarMember]:
    """The members of a tar, in order. Only headers are read; contents are skipped by seeking."""
    file_size, offset, seen = file.seek(0, 2), 0, set[str]()
    while True:
        start = offset
        block = _block(file, shard, offset)
        if not any(block):
            if any(_block(file, shard, offset + BLOCK)):
                raise BadShard(shard, "", offset, "an empty header in the middle")
            return
        name = None
        if block[156:157] == b"x":
            name, offset = _read_extended_header(file, shard, block, offset)
            block = _block(file, shard, offset)
        member = _member(block, shard, start, offset, name)
        if member.name in seen:
            raise BadShard(shard, member.key, start, f"a second member called {member.name!r}")
        if member.offset + member.size > file_size:
            raise BadShard(shard, member.key, start, "cut off: the file ends within a member")
        seen.add(member.name)
        yield member
        offset = member.end


def _block(file: IO[bytes], shard: str, offset: int) -> bytes:
    block = read_range(file, offset, BLOCK)
    if len(block) < BLOCK:
        raise BadShard(shard, "", offset, "cut off: the file ends without the mark of an end")
    return block


def _member(block: bytes, shard: str, start: int, offset: int, name: str | None) -> TarMember:
    size = _checked_size(block, shard, offset)
    try:
        base_name = block[:100].rstrip(b"\0").decode("utf-8")
        prefix = block[345:500].rstrip(b"\0").decode("utf-8") if block[257:263] == b"ustar\0" else ""
    except UnicodeDecodeError:
        raise BadShard(shard, "", start, "a name that is not UTF-8") from None
    name = name or (f"{prefix}/{base_name}" if prefix else base_name)
    key = split_name(name)[0]
    if block[156:157] not in (b"0", b"\0"):
        raise BadShard(shard, key, start, f"not a plain file: a link, a device or a folder called {name!r}")
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or "\\" in name or not name.isprintable():
        raise BadShard(shard, key, start, f"a name that leaves the folder or is none: {name!r}")
    if size > MAX_MEMBER:
        raise BadShard(shard, key, start, f"a member of {size} bytes; at most {MAX_MEMBER} are taken")
    return TarMember(name, start, offset + BLOCK, size)


def _checked_size(block: bytes, shard: str, offset: int) -> int:
    try:
        checksum = int(block[148:156].rstrip(b"\0 ") or b"-1", 8)
        size = int(block[124:136].rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        raise BadShard(shard, "", offset, "not a header of a tar") from None
    if checksum != sum(block) - sum(block[148:156]) + 8 * 32:
        raise BadShard(shard, "", offset, "a header whose checksum is wrong")
    if size < 0:
        raise BadShard(shard, "", offset, "a negative size")
    return size


def _read_extended_header(file: IO[bytes], shard: str, block: bytes, offset: int) -> tuple[str | None, int]:
    """The next member's name as an extended header says it, if it does, and the offset of that member's plain header."""
    size = _checked_size(block, shard, offset)
    if size > MAX_EXTRAS:
        raise BadShard(shard, "", offset, f"{size} bytes of extended header")
    remaining, name = read_range(file, offset + BLOCK, size), None
    while remaining.strip(b"\0"):
        length, _, _ = remaining.partition(b" ")
        if not length.isdigit() or not len(length) < int(length) <= len(remaining):
            raise BadShard(shard, "", offset, "an extended header that can't be read")
        keyword, _, value = remaining[len(length) + 1 : int(length)].rstrip(b"\n").partition(b"=")
        if keyword.decode("ascii", "replace") not in ALLOWED_KEYWORDS:
            raise BadShard(shard, "", offset, f"an extended header that says {keyword[:40]!r}")
        if keyword == b"path":
            name = value.decode("utf-8", "replace")
        remaining = remaining[int(length) :]
    return name, offset + BLOCK + padded(size)
