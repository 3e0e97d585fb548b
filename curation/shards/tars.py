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

    def __init__(self, shard_name: str, member_key: str, offset: int, reason: str) -> None:
        super().__init__(
            reason, where=f"{shard_name}: {member_key or '-'} at {offset}", hint="fetch the shard again, or pack it anew"
        )
        self.shard, self.key, self.offset, self.reason = shard_name, member_key, offset, reason


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


def split_name(member_name: str) -> tuple[str, str]:
    """Split a member's name into key and suffix: `a/b.coarse.mp4` is `a/b` and `coarse.mp4`."""
    folder_part, slash_or_empty, file_part = member_name.rpartition("/")
    member_key, _, member_suffix = file_part.partition(".")
    return folder_part + slash_or_empty + member_key, member_suffix


def padded(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK) * BLOCK


def header(member_name: str, size_bytes: int) -> bytes:
    """The tar header that dmforge writes for a member."""
    tar_info = tarfile.TarInfo(member_name)
    tar_info.size, tar_info.mode, tar_info.uname, tar_info.gname = size_bytes, MODE, USER, USER
    return tar_info.tobuf(tarfile.USTAR_FORMAT)


def walk(file: IO[bytes], shard_name: str) -> Iterator[TarMember]:
    """The members of a tar, in order. Only headers are read; contents are skipped by seeking."""
    file_size, member_offset, seen_names = file.seek(0, 2), 0, set[str]()
    while True:
        header_start = member_offset
        header_block = _block(file, shard_name, member_offset)
        if not any(header_block):
            if any(_block(file, shard_name, member_offset + BLOCK)):
                raise BadShard(shard_name, "", member_offset, "an empty header in the middle")
            return
        long_name = None
        if header_block[156:157] == b"x":
            long_name, member_offset = _read_extended_header(file, shard_name, header_block, member_offset)
            header_block = _block(file, shard_name, member_offset)
        tar_member = _member(header_block, shard_name, header_start, member_offset, long_name)
        if tar_member.name in seen_names:
            raise BadShard(shard_name, tar_member.key, header_start, f"a second member called {tar_member.name!r}")
        if tar_member.offset + tar_member.size > file_size:
            raise BadShard(shard_name, tar_member.key, header_start, "cut off: the file ends within a member")
        seen_names.add(tar_member.name)
        yield tar_member
        member_offset = tar_member.end


def _block(file: IO[bytes], shard_name: str, offset: int) -> bytes:
    header_block = read_range(file, offset, BLOCK)
    if len(header_block) < BLOCK:
        raise BadShard(shard_name, "", offset, "cut off: the file ends without the mark of an end")
    return header_block


def _member(header_block: bytes, shard_name: str, header_start: int, header_offset: int, long_name: str | None) -> TarMember:
    member_size = _checked_size(header_block, shard_name, header_offset)
    try:
        base_name = header_block[:100].rstrip(b"\0").decode("utf-8")
        name_prefix = header_block[345:500].rstrip(b"\0").decode("utf-8") if header_block[257:263] == b"ustar\0" else ""
    except UnicodeDecodeError:
        raise BadShard(shard_name, "", header_start, "a name that is not UTF-8") from None
    long_name = long_name or (f"{name_prefix}/{base_name}" if name_prefix else base_name)
    member_key = split_name(long_name)[0]
    if header_block[156:157] not in (b"0", b"\0"):
        raise BadShard(
            shard_name, member_key, header_start, f"not a plain file: a link, a device or a folder called {long_name!r}"
        )
    path_parts = PurePosixPath(long_name).parts
    if not path_parts or ".." in path_parts or long_name.startswith("/") or "\\" in long_name or not long_name.isprintable():
        raise BadShard(shard_name, member_key, header_start, f"a name that leaves the folder or is none: {long_name!r}")
    if member_size > MAX_MEMBER:
        raise BadShard(shard_name, member_key, header_start, f"a member of {member_size} bytes; at most {MAX_MEMBER} are taken")
    return TarMember(long_name, header_start, header_offset + BLOCK, member_size)


def _checked_size(header_block: bytes, shard_name: str, offset: int) -> int:
    try:
        stored_checksum = int(header_block[148:156].rstrip(b"\0 ") or b"-1", 8)
        member_size = int(header_block[124:136].rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        raise BadShard(shard_name, "", offset, "not a header of a tar") from None
    if stored_checksum != sum(header_block) - sum(header_block[148:156]) + 8 * 32:
        raise BadShard(shard_name, "", offset, "a header whose checksum is wrong")
    if member_size < 0:
        raise BadShard(shard_name, "", offset, "a negative size")
    return member_size


def _read_extended_header(file: IO[bytes], shard_name: str, header_block: bytes, offset: int) -> tuple[str | None, int]:
    """The next member's name as an extended header says it, if it does, and the offset of that member's plain header."""
    header_size = _checked_size(header_block, shard_name, offset)
    if header_size > MAX_EXTRAS:
        raise BadShard(shard_name, "", offset, f"{header_size} bytes of extended header")
    records_left, long_name = read_range(file, offset + BLOCK, header_size), None
    while records_left.strip(b"\0"):
        length_digits, _, _ = records_left.partition(b" ")
        if not length_digits.isdigit() or not len(length_digits) < int(length_digits) <= len(records_left):
            raise BadShard(shard_name, "", offset, "an extended header that can't be read")
        record_keyword, _, record_value = (
            records_left[len(length_digits) + 1 : int(length_digits)].rstrip(b"\n").partition(b"=")
        )
        if record_keyword.decode("ascii", "replace") not in ALLOWED_KEYWORDS:
            raise BadShard(shard_name, "", offset, f"an extended header that says {record_keyword[:40]!r}")
        if record_keyword == b"path":
            long_name = record_value.decode("utf-8", "replace")
        records_left = records_left[int(length_digits) :]
    return long_name, offset + BLOCK + padded(header_size)
