"""A record's Arrow schema follows from its type annotations, so a table and its class can't drift apart."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa

from dmforge.schemas.ids import ID_BYTES
from dmforge.schemas.later_members import is_later_member

T = TypeVar("T")
Convert = Callable[[Any], Any] | None
"""A conversion of one value, or None where the value passes as it is (the common case, and the fast one)."""

FRACTION = pa.struct([pa.field("num", pa.int64(), nullable=False), pa.field("den", pa.int64(), nullable=False)])
SINCE = "since"
"""A key of a field's metadata: the number of the format that introduced the field."""
GROWN = "grown"
"""A key of a field's metadata: the number of the format in which the dataclass in it got another member."""
if typing.TYPE_CHECKING:
    IdColumn = pa.Array[Any] | pa.ChunkedArray[Any]
    """A column of ids, however Arrow happens to hold it."""

PLAIN = {str: pa.string(), int: pa.int64(), bool: pa.bool_(), bytes: pa.binary(ID_BYTES)}


@dataclass(frozen=True, slots=True)
class Column:
    """The Arrow column of an annotated type, with its conversions. `encode` also gives the plain value that ids digest."""

    type: pa.DataType
    nullable: bool = False
    encode: Convert = None
    decode: Convert = None


@cache
def column(annotation: Any) -> Column:
    """The column of a field annotation: bytes are ids, fractions and dataclasses structs, tuples lists, `X | None` nullable."""
    type_origin, type_args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is float:
        return Column(pa.float64(), encode=float)  # 1 and 1.0 are one score, and must be one id
    if annotation in PLAIN:
        return Column(PLAIN[annotation])
    if annotation is Fraction:
        return Column(FRACTION, encode=_from_fraction, decode=_to_fraction)
    if type_origin is Literal:
        return Column(pa.string())
    if type_origin in (typing.Union, types.UnionType) and len(type_args) == 2 and type(None) in type_args:
        inner_column = column(next(type_arg for type_arg in type_args if type_arg is not type(None)))
        return Column(inner_column.type, True, _unless_none(inner_column.encode), _unless_none(inner_column.decode))
    if type_origin is tuple and len(type_args) == 2 and type_args[1] is Ellipsis:
        return _list_of(column(type_args[0]))
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return _struct_of(annotation)
    raise TypeError(
        f"{annotation} has no column: use str, int, float, bool, bytes, Fraction, Literal, tuple[X, ...] or a dataclass"
    )


@cache
def fields(record: type) -> tuple[tuple[str, Column], ...]:
    """Name and column of each field, in the order of declaration."""
    type_hints = typing.get_type_hints(record)
    return tuple((field.name, column(type_hints[field.name])) for field in dataclasses.fields(record))


@cache
def schema(record: type) -> pa.Schema:
    """The Arrow schema of a record class."""
    return pa.schema([pa.field(name, col.type, nullable=col.nullable) for name, col in fields(record)])


@cache
def default_row(record: type) -> pa.Table:
    """One row with the defaults of the columns that came after a record's first format; without columns where none came."""
    later_defaults = {field.name: field.default for field in dataclasses.fields(record) if SINCE in field.metadata}
    columns = {name: col for name, col in fields(record) if name in later_defaults}
    for name, col in columns.items():
        if (later_defaults[name] is None) != col.nullable:
            raise TypeError(f"{record.__name__}.{name}: a later column is nullable exactly where its default is None")
    encoded_defaults = {
        name: col.encode(later_defaults[name]) if col.encode else later_defaults[name] for name, col in columns.items()
    }
    return pa.table({name: pa.array([encoded_defaults[name]], col.type) for name, col in columns.items()})


@cache
def grown_columns(record: type) -> tuple[str, ...]:
    """The columns whose dataclass got members after a record's first format: parts of both ages have other types of structs."""
    return tuple(field.name for field in dataclasses.fields(record) if GROWN in field.metadata)


def completed(record: type, table: pa.Table) -> pa.Table:
    """The rows of an older part in the columns of today: those that came later have their defaults, members None."""
    for column_name in filter(table.column_names.__contains__, grown_columns(record)):
        column_field, column_position = schema(record).field(column_name), table.column_names.index(column_name)
        if table.schema.field(column_name).type != column_field.type:
            # through Python, as rows are written: Arrow's cast refuses a struct that is null where its members can't be
            cells = pa.array(table.column(column_name).to_pylist(), column_field.type)
            table = table.set_column(column_position, column_field, cells)
    for column_name, *defaults in default_row(record).to_pydict().items():
        if column_name not in table.column_names:
            column_position = [field_name for field_name, _ in fields(record)].index(column_name)
            column = pa.array(defaults[0] * table.num_rows, schema(record).field(column_name).type)
            table = table.add_column(min(column_position, table.num_columns), schema(record).field(column_name), column)
    return table


def to_arrow(record: type[T], rows: Sequence[T]) -> pa.RecordBatch:
    """Records as one record batch in the class's schema."""
    arrays: list[pa.Array[Any]] = []
    for name, col in fields(record):
        cells: list[Any] = [getattr(row, name) for row in rows]
        if col.encode:
            cells = [col.encode(value) for value in cells]
        arrays.append(pa.array(cells, col.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema(record))


def from_arrow(record: type[T], batch: pa.RecordBatch | pa.Table) -> list[T]:
    """The inverse of `to_arrow`; columns that the class doesn't have are left out, and those that came later have defaults."""
    cells_by_column: dict[str, list[Any]] = {}
    absent_columns = set(default_row(record).column_names) - set(batch.schema.names)
    for name, col in fields(record):
        if name in absent_columns:
            continue
        cells: list[Any] = batch.column(name).to_pylist()
        cells_by_column[name] = [col.decode(cell) for cell in cells] if col.decode else cells
    column_names = list(cells_by_column)
    return [
        record(**dict(zip(column_names, row_cells, strict=True))) for row_cells in zip(*cells_by_column.values(), strict=True)
    ]


def id_list(column: IdColumn) -> list[bytes]:
    """A column of ids as Python bytes."""
    return typing.cast("list[bytes]", column.to_pylist())


def id_matrix(column: IdColumn) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """A column of ids as n rows of 16 bytes, without copying where Arrow holds it in one piece."""
    ids = column.cast(pa.binary(ID_BYTES))
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    id_buffer = ids.buffers()[1]
    if id_buffer is None or not len(ids):
        return np.empty((0, ID_BYTES), np.uint8)
    start_byte = ids.offset * ID_BYTES
    return np.frombuffer(memoryview(id_buffer), np.uint8)[start_byte : start_byte + len(ids) * ID_BYTES].reshape(-1, ID_BYTES)


@cache
def _later_members(record: type) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(record) if is_later_member(field))


def plain(record: object, excluded: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A record's content as plain values, to be digested. A later member that is None is left out."""
    later_members = _later_members(type(record))
    return {
        name: col.encode(getattr(record, name)) if col.encode else getattr(record, name)
        for name, col in fields(type(record))
        if name not in excluded and not (name in later_members and getattr(record, name) is None)
    }


def _list_of(item_column: Column) -> Column:
    encode, decode = item_column.encode, item_column.decode
    return Column(
        pa.list_(pa.field("item", item_column.type, nullable=item_column.nullable)),
        encode=(lambda values: [encode(value) for value in values]) if encode else list,
        decode=(lambda cells: tuple(decode(cell) for cell in cells)) if decode else tuple,
    )


def _struct_of(record: type) -> Column:
    record_fields, later_members = fields(record), _later_members(record)
    for name, col in record_fields:
        if name in later_members and not col.nullable:
            raise TypeError(f"{record.__name__}.{name}: a later member is nullable, and None by default")
    arrow = pa.struct([pa.field(name, col.type, nullable=col.nullable) for name, col in record_fields])

    def decode(cell: dict[str, Any]) -> Any:
        return record(
            **{
                name: col.decode(cell[name]) if col.decode else cell[name]
                for name, col in record_fields
                if name in cell or name not in later_members
            }
        )

    return Column(arrow, encode=plain, decode=decode)


def _unless_none(convert: Convert) -> Convert:
    if convert is None:
        return None
    return lambda value: None if value is None else convert(value)


def _from_fraction(value: Fraction) -> dict[str, int]:
    return {"num": value.numerator, "den": value.denominator}


def _to_fraction(cell: dict[str, int]) -> Fraction:
    return Fraction(cell["num"], cell["den"])
