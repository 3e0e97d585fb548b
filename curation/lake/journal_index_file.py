"""The index of a journal's file, kept beside it: which answers its first lines hold, and where. The file itself is the truth.

An index is made of lines that were read and found sound, and is thrown away wherever it doesn't fit: where the file has become
shorter, where the bytes before its end are others than they were (who adds or removes a line shifts all behind it), where a
record is not as it was written. A place that it gives is believed once the line there begins with the key that was looked for.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors, remove_file, writing
from dmforge.curation.lake.journal_place import Place
from dmforge.schemas.errors import LakeError

SUFFIX = ".index"
MAGIC = b"dmforge journal index 1\n"
END = struct.Struct("<QQ?32s")
"""How many bytes of the journal it covers, how many records it has, whether some say no limit, and the digest of the tail."""
RECORD = struct.Struct("<26sQq?")
"""A key without its kind, where its line begins, the limit of its answer or -1, and whether it was cut off there."""
KIND = "ask_"
CHECK = struct.Struct("<I")
RECORD_BYTES, END_BYTES = RECORD.size + CHECK.size, END.size + CHECK.size
TAIL_BYTES = 1 << 16
"""Of what is covered so many bytes at the end are held against their digest when a journal is opened."""
MODE = 0o600


class IndexUnfit(ValueError):
    """The index is not as it was written, or not of this journal."""


@dataclass(frozen=True, slots=True)
class IndexFile:
    """An open index that fits its journal."""

    path: Path
    covered_bytes: int
    count: int
    has_unlimited: bool
    """Whether some lines don't say the limit of their answers."""
    _descriptor: int

    def find(self, request_key: str) -> Place | None:
        """Where the line of a key stands."""
        number = bisect_left(range(self.count), request_key, key=lambda number: self._place(number).key)
        place = self._place(number) if number < self.count else None
        return place if place is not None and place.key == request_key else None

    def places(self) -> Iterator[Place]:
        """Where all lines stand, in the order of their keys."""
        return map(self._place, range(self.count))

    def _place(self, number: int) -> Place:
        record = os.pread(self._descriptor, RECORD_BYTES, len(MAGIC) + number * RECORD_BYTES)
        key, offset, limit, is_cut = _unpacked(RECORD, record)
        return Place(KIND + key.decode("ascii"), None if limit < 0 else limit, is_cut, offset=offset)

    def close(self) -> None:
        machine.current.close(self._descriptor)


def index_path(journal_path: Path) -> Path:
    return journal_path.with_name(journal_path.name + SUFFIX)


def open_index(journal_path: Path) -> IndexFile | None:
    """The index of a file; None where there is none that fits."""
    try:
        return read_index(journal_path)
    except (IndexUnfit, FileNotFoundError):
        return None


def read_index(journal_path: Path) -> IndexFile:
    """The index of a file, checked as far as can be told without reading all of both."""
    path = index_path(journal_path)
    descriptor = machine.current.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        end_offset = os.fstat(descriptor).st_size - END_BYTES
        covered_bytes, count, has_unlimited, kept_digest = _unpacked(END, os.pread(descriptor, END_BYTES, end_offset))
        if end_offset != len(MAGIC) + count * RECORD_BYTES or os.pread(descriptor, len(MAGIC), 0) != MAGIC:
            raise IndexUnfit("it is not as long as it says")
        if kept_digest != tail_digest(journal_path, covered_bytes):
            raise IndexUnfit("the journal before the place up to which it goes is another one")
    except (IndexUnfit, OSError, LakeError) as error:
        machine.current.close(descriptor)
        raise IndexUnfit(str(error)) from error
    return IndexFile(path, covered_bytes, count, has_unlimited, descriptor)


def write_index(journal_path: Path, covered_bytes: int, places: Iterable[Place], suffix: str = "") -> None:
    """Keep an index of a file up to some place: of its lines there, in the order of their keys."""
    count, has_unlimited = 0, False
    with writing(index_path(journal_path), MODE, suffix) as index_file:
        index_file.write(MAGIC)
        for place in places:
            limit = -1 if place.limit is None else place.limit
            key = place.key.removeprefix(KIND).encode("ascii")
            index_file.write(_sealed(RECORD.pack(key, place.offset, limit, place.is_cut)))
            count, has_unlimited = count + 1, has_unlimited or place.limit is None
        index_file.write(_sealed(END.pack(covered_bytes, count, has_unlimited, tail_digest(journal_path, covered_bytes))))


def remove_index(journal_path: Path) -> None:
    """Remove the index of a file that is about to be another one."""
    remove_file(index_path(journal_path))


def tail_digest(journal_path: Path, covered_bytes: int) -> bytes:
    """The digest of what stands before a place in a journal."""
    with disk_errors(journal_path), journal_path.open("rb") as journal_file:
        journal_file.seek(max(0, covered_bytes - TAIL_BYTES))
        tail = journal_file.read(min(covered_bytes, TAIL_BYTES))
    return hashlib.sha256(tail).digest()


def _sealed(content: bytes) -> bytes:
    return content + CHECK.pack(zlib.crc32(content))


def _unpacked(fields: struct.Struct, sealed: bytes) -> tuple[Any, ...]:
    content, seal = sealed[: fields.size], sealed[fields.size :]
    if seal != CHECK.pack(zlib.crc32(content)):
        raise IndexUnfit("a record of it was changed")
    return fields.unpack(content)
