"""What the footer of a Parquet file claims of its columns, read without Arrow, which over some spoilt footers ends the process.

Arrow's classes for column metadata check statistics that nobody here needs, and the error of a failed check leaves C++ where
Python can't catch it. The footer is a structure of Thrift's compact protocol; all but a few numbers in it is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from dmforge.schemas.errors import InputError

MAGIC = b"PAR1"
MAX_DEPTH = 32
"""Structures inside each other; Parquet's own have a handful."""
BOOLEANS, INTEGERS, DOUBLE, BINARY, LISTS, MAP, STRUCT, UUID = (1, 2), (4, 5, 6), 7, 8, (9, 10), 11, 12, 13
"""Types of the compact protocol; 3 is a byte."""
FieldChoice = dict[int, Any]
"""Of a structure, by the number of the field: None where its value is needed, else which are needed of the structures in it."""
CLAIMS: FieldChoice = {4: {1: {3: {5: None, 6: None, 7: None}}}}
"""FileMetaData.row_groups[].columns[].meta_data: num_values, total_uncompressed_size, total_compressed_size."""


@dataclass(frozen=True, slots=True)
class ColumnClaim:
    """What is claimed of one column in one row group: how many values, and how many bytes."""

    values: int
    unpacked_bytes: int
    packed_bytes: int


def column_claims(file: IO[bytes], where: str) -> Iterator[ColumnClaim]:
    """The claims about every column of every row group."""
    footer = _footer(file, where)
    try:
        groups = _CompactReader(footer).struct(CLAIMS)[4]
        for group in groups:
            for column in group[1]:
                yield ColumnClaim(column[3][5], column[3][6], column[3][7])
    except (IndexError, KeyError, ValueError) as error:
        message = f"its footer can't be read: {type(error).__name__}: {error}"
        raise InputError(message, where=where, hint="look at it with another reader; if it is sound, write it anew") from None


def _footer(file: IO[bytes], where: str) -> bytes:
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    ending = file.read(8)
    length = int.from_bytes(ending[:4], "little")
    if ending[4:] != MAGIC or length > size - 12:
        raise InputError(
            "not Parquet: it has no footer", where=where, hint="give a Parquet file that is whole, and not encrypted"
        )
    file.seek(size - 8 - length)
    return file.read(length)


class _CompactReader:
    """Reads one structure from front to back. Whatever is wrong raises IndexError or ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def struct(self, fields: FieldChoice, depth: int = 0) -> dict[int, Any]:
        """The chosen fields of a structure; a field of another type than it should have is none."""
        if depth > MAX_DEPTH:
            raise ValueError("too deep")
        values: dict[int, Any] = {}
        field_number = 0
        while header := self._byte():
            step, kind = header >> 4, header & 15
            field_number = field_number + step if step else self._integer()
            if field_number in fields and kind in (INTEGERS if fields[field_number] is None else (LISTS[0], STRUCT)):
                values[field_number] = self._value(kind, fields[field_number], depth)
            else:
                self._skip(kind, depth)
        return values

    def _value(self, kind: int, fields: FieldChoice | None, depth: int) -> Any:
        if fields is None:
            return self._integer()
        if kind == STRUCT:
            return self.struct(fields, depth + 1)
        count, element_kind = self._list_header()
        if element_kind != STRUCT:
            raise ValueError("a list of something else than structures")
        return [self.struct(fields, depth + 1) for _ in range(count)]

    def _skip(self, kind: int, depth: int) -> None:
        if kind in INTEGERS:
            self._varint()
        elif kind == BINARY:
            self._move(self._varint())
        elif kind == STRUCT:
            self.struct({}, depth + 1)
        elif kind in LISTS:
            count, element_kind = self._list_header()
            for _ in range(count):
                self._skip_element(element_kind, depth + 1)
        elif kind == MAP:
            self._skip_map(depth + 1)
        elif kind not in BOOLEANS:  # which stand in the header
            self._move({3: 1, DOUBLE: 8, UUID: 16}[kind])

    def _skip_element(self, kind: int, depth: int) -> None:
        """Skip an element of a list or a map, where even a boolean takes a byte."""
        if depth > MAX_DEPTH:
            raise ValueError("too deep")
        if kind in BOOLEANS:
            self._move(1)
        else:
            self._skip(kind, depth)

    def _skip_map(self, depth: int) -> None:
        count = self._varint()
        if not count:
            return
        kinds = self._byte()
        for _ in range(count):
            self._skip_element(kinds >> 4, depth)
            self._skip_element(kinds & 15, depth)

    def _list_header(self) -> tuple[int, int]:
        header = self._byte()
        count = header >> 4
        if count == 15:
            count = self._varint()
        if count > len(self._data) - self._position:
            raise ValueError(f"a list of {count} in fewer bytes")
        return count, header & 15

    def _integer(self) -> int:
        """A signed number: 0, -1, 1, -2, ... are stored as 0, 1, 2, 3, ..."""
        number = self._varint()
        return number >> 1 if number % 2 == 0 else -(number >> 1) - 1

    def _varint(self) -> int:
        """A number in groups of seven bits, the lowest first."""
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number without end")

    def _byte(self) -> int:
        byte = self._data[self._position]
        self._position += 1
        return byte

    def _move(self, count: int) -> None:
        self._position += count
        if self._position > len(self._data):
            raise IndexError("beyond its end")
