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
    footer_bytes = _footer(file, where)
    try:
        row_groups = _CompactReader(footer_bytes).struct(CLAIMS)[4]
        for row_group in row_groups:
            for column_chunk in row_group[1]:
                yield ColumnClaim(column_chunk[3][5], column_chunk[3][6], column_chunk[3][7])
    except (IndexError, KeyError, ValueError) as error:
        footer_message = f"its footer can't be read: {type(error).__name__}: {error}"
        raise InputError(
            footer_message, where=where, hint="look at it with another reader; if it is sound, write it anew"
        ) from None


def _footer(file: IO[bytes], where: str) -> bytes:
    file_bytes = file.seek(0, 2)
    file.seek(max(0, file_bytes - 8))
    last_8_bytes = file.read(8)
    footer_bytes = int.from_bytes(last_8_bytes[:4], "little")
    if last_8_bytes[4:] != MAGIC or footer_bytes > file_bytes - 12:
        raise InputError(
            "not Parquet: it has no footer", where=where, hint="give a Parquet file that is whole, and not encrypted"
        )
    file.seek(file_bytes - 8 - footer_bytes)
    return file.read(footer_bytes)


class _CompactReader:
    """Reads one structure from front to back. Whatever is wrong raises IndexError or ValueError."""

    def __init__(self, compact_bytes: bytes) -> None:
        self._data, self._position = compact_bytes, 0

    def struct(self, chosen_fields: FieldChoice, nesting_depth: int = 0) -> dict[int, Any]:
        """The chosen fields of a structure; a field of another type than it should have is none."""
        if nesting_depth > MAX_DEPTH:
            raise ValueError("too deep")
        value_by_field: dict[int, Any] = {}
        field_number = 0
        while field_header := self._byte():
            field_number_step, type_code = field_header >> 4, field_header & 15
            field_number = field_number + field_number_step if field_number_step else self._integer()
            if field_number in chosen_fields and type_code in (
                INTEGERS if chosen_fields[field_number] is None else (LISTS[0], STRUCT)
            ):
                value_by_field[field_number] = self._value(type_code, chosen_fields[field_number], nesting_depth)
            else:
                self._skip(type_code, nesting_depth)
        return value_by_field

    def _value(self, type_code: int, chosen_fields: FieldChoice | None, nesting_depth: int) -> Any:
        if chosen_fields is None:
            return self._integer()
        if type_code == STRUCT:
            return self.struct(chosen_fields, nesting_depth + 1)
        element_count, element_type_code = self._list_header()
        if element_type_code != STRUCT:
            raise ValueError("a list of something else than structures")
        return [self.struct(chosen_fields, nesting_depth + 1) for _ in range(element_count)]

    def _skip(self, type_code: int, nesting_depth: int) -> None:
        if type_code in INTEGERS:
            self._varint()
        elif type_code == BINARY:
            self._move(self._varint())
        elif type_code == STRUCT:
            self.struct({}, nesting_depth + 1)
        elif type_code in LISTS:
            element_count, element_type_code = self._list_header()
            for _ in range(element_count):
                self._skip_element(element_type_code, nesting_depth + 1)
        elif type_code == MAP:
            self._skip_map(nesting_depth + 1)
        elif type_code not in BOOLEANS:  # which stand in the header
            self._move({3: 1, DOUBLE: 8, UUID: 16}[type_code])

    def _skip_element(self, type_code: int, nesting_depth: int) -> None:
        """Skip an element of a list or a map, where even a boolean takes a byte."""
        if nesting_depth > MAX_DEPTH:
            raise ValueError("too deep")
        if type_code in BOOLEANS:
            self._move(1)
        else:
            self._skip(type_code, nesting_depth)

    def _skip_map(self, nesting_depth: int) -> None:
        entry_count = self._varint()
        if not entry_count:
            return
        key_and_value_types = self._byte()
        for _ in range(entry_count):
            self._skip_element(key_and_value_types >> 4, nesting_depth)
            self._skip_element(key_and_value_types & 15, nesting_depth)

    def _list_header(self) -> tuple[int, int]:
        header_byte = self._byte()
        element_count = header_byte >> 4
        if element_count == 15:
            element_count = self._varint()
        if element_count > len(self._data) - self._position:
            raise ValueError(f"a list of {element_count} in fewer bytes")
        return element_count, header_byte & 15

    def _integer(self) -> int:
        """A signed number: 0, -1, 1, -2, ... are stored as 0, 1, 2, 3, ..."""
        zigzag_number = self._varint()
        return zigzag_number >> 1 if zigzag_number % 2 == 0 else -(zigzag_number >> 1) - 1

    def _varint(self) -> int:
        """A number in groups of seven bits, the lowest first."""
        varint_value = 0
        for bit_shift in range(0, 70, 7):
            next_byte = self._byte()
            varint_value |= (next_byte & 127) << bit_shift
            if next_byte < 128:
                return varint_value
        raise ValueError("a number without end")

    def _byte(self) -> int:
        next_byte = self._data[self._position]
        self._position += 1
        return next_byte

    def _move(self, byte_count: int) -> None:
        self._position += byte_count
        if self._position > len(self._data):
            raise IndexError("beyond its end")
