"""Tars of shards: how ours are laid out, byte for byte, and how anybody's are walked without believing them.

A member is a plain file with a plain name. Links, devices, names that leave the folder, sizes beyond reason: refused, with the
shard, the key and the offset. Nothing is ever extracted to a path that a tar names, and nothing is unpickled.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from dmforge.schemas.errors import DmforgeError

BLOCK = 512
MODE, USER = 0o644, "dmforge"
"""What stands in each of our headers, so that it doesn't matter who packs, or when."""
MAX_MEMBER = 4 << 30
MAX_EXTRAS = 1 << 16
"""Bytes of extended headers that a member may have: times and names need a few hundred."""
HARMLESS = frozenset({"mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "path"})
"""What an extended header may say. Sizes and links are for the plain header alone."""


class BadShard(DmforgeError):
    """A shard is not what it should be."""

    def __init__(self, shard: str, key: str, offset: int, reason: str) -> None:
        super().__init__(reason, where=f"{shard}: {key or '-'} at {offset}", mend="fetch the shard again, or pack it anew")
        self.shard, self.key, self.offset, self.reason = shard, key, offset, reason


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar."""

    name: str
    header: int
    """Where its header begins, with what extends it."""
    offset: int
    """Where its bytes begin."""
    size: int

    @property
    def end(self) -> int:
        """Where the next header begins."""
        return self.offset + padded(self.size)

    @property
    def key(self) -> str:
        """What the members of one sample share: the name up to the first dot."""
        return split(self.name)[0]

    @property
    def suffix(self) -> str:
        return split(self.name)[1]


def split(name: str) -> tuple[str, str]:
    """`key.coarse.mp4` is the key and `coarse.mp4`; a folder belongs to the key."""
    folder, slash, file = name.rpartition("/")
    key, _, suffix = file.partition(".")
    return folder + slash + key, suffix


def padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def header(name: str, size: int) -> bytes:
    """The header of a member of ours."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uname, info.gname = size, MODE, USER, USER
    return info.tobuf(tarfile.USTAR_FORMAT)


def walk(file: IO[bytes], shard: str) -> Iterator[Member]:
    """The members of a tar in their order. The file is seeked: only headers are read here."""
    length, at, seen = file.seek(0, 2), 0, set[str]()
    while True:
        begin = at
        block = _block(file, shard, at)
        if not any(block):
            if any(_block(file, shard, at + BLOCK)):
                raise BadShard(shard, "", at, "an empty header in the middle")
            return
        name = None
        if block[156:157] == b"x":
            name, at = _extras(file, shard, block, at)
            block = _block(file, shard, at)
        member = _member(block, shard, begin, at, name)
        if member.name in seen:
            raise BadShard(shard, member.key, begin, f"a second member called {member.name!r}")
        if member.offset + member.size > length:
            raise BadShard(shard, member.key, begin, "cut off: the file ends within a member")
        seen.add(member.name)
        yield member
        at = member.end


def _block(file: IO[bytes], shard: str, at: int) -> bytes:
    file.seek(at)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise BadShard(shard, "", at, "cut off: the file ends without the mark of an end")
    return block


def _member(block: bytes, shard: str, begin: int, at: int, name: str | None) -> Member:
    size = _checked_size(block, shard, at)
    try:
        plain = block[:100].rstrip(b"\0").decode("utf-8")
        prefix = block[345:500].rstrip(b"\0").decode("utf-8") if block[257:263] == b"ustar\0" else ""
    except UnicodeDecodeError:
        raise BadShard(shard, "", begin, "a name that is not UTF-8") from None
    name = name or (f"{prefix}/{plain}" if prefix else plain)
    key = split(name)[0]
    if block[156:157] not in (b"0", b"\0"):
        raise BadShard(shard, key, begin, f"not a plain file: a link, a device or a folder called {name!r}")
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or "\\" in name or not name.isprintable():
        raise BadShard(shard, key, begin, f"a name that leaves the folder or is none: {name!r}")
    if size > MAX_MEMBER:
        raise BadShard(shard, key, begin, f"a member of {size} bytes; at most {MAX_MEMBER} are taken")
    return Member(name, begin, at + BLOCK, size)


def _checked_size(block: bytes, shard: str, at: int) -> int:
    try:
        told = int(block[148:156].rstrip(b"\0 ") or b"-1", 8)
        size = int(block[124:136].rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        raise BadShard(shard, "", at, "not a header of a tar") from None
    if told != sum(block) - sum(block[148:156]) + 8 * 32:
        raise BadShard(shard, "", at, "a header whose checksum is wrong")
    if size < 0:
        raise BadShard(shard, "", at, "a negative size")
    return size


def _extras(file: IO[bytes], shard: str, block: bytes, at: int) -> tuple[str | None, int]:
    """What an extended header says about the name of the next member, and where that one's header is."""
    size = _checked_size(block, shard, at)
    if size > MAX_EXTRAS:
        raise BadShard(shard, "", at, f"{size} bytes of extended header")
    file.seek(at + BLOCK)
    rest, name = file.read(size), None
    while rest.strip(b"\0"):
        length, _, _ = rest.partition(b" ")
        if not length.isdigit() or not len(length) < int(length) <= len(rest):
            raise BadShard(shard, "", at, "an extended header that can't be read")
        word, _, value = rest[len(length) + 1 : int(length)].rstrip(b"\n").partition(b"=")
        if word.decode("ascii", "replace") not in HARMLESS:
            raise BadShard(shard, "", at, f"an extended header that says {word[:40]!r}")
        if word == b"path":
            name = value.decode("utf-8", "replace")
        rest = rest[int(length) :]
    return name, at + BLOCK + padded(size)
