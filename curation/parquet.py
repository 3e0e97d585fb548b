"""Parquet of others, read in pieces that fit into memory: a few bytes of a file can stand for any number of rows and letters.

Texts are read as the words that a file has and where each stands. So a word that stands a million times is held once, and what
a piece comes to is known before it is unpacked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dmforge.schemas.errors import InputError

MAX_PIECE = 1 << 30
"""Bytes that the rows of one piece may come to."""
MAX_VALUES = 100_000_000
"""Values of a column in one group of rows."""
ROWS_A_BYTE = 100
"""Rows without end can be said in one line; no file has so many that differ."""
PACKED = 256 << 20, 256
"""A column of a group may be larger than this only if it is less than so many times what it is packed."""
MEND = "look at it with another reader; if it is sound, write it anew in smaller groups of rows"


def open_parquet(file: IO[bytes], where: str) -> pq.ParquetFile:
    """A file whose own claims are not out of all bounds."""
    size = file.seek(0, 2)
    file.seek(0)
    claimed: Any = pq.ParquetFile(file)
    told = claimed.metadata
    if told.num_rows > ROWS_A_BYTE * size:
        raise InputError(f"{told.num_rows} rows in {size} bytes", where=where, mend=MEND)
    for group in range(told.num_row_groups):
        for number in range(told.num_columns):
            column = told.row_group(group).column(number)
            packed = column.total_uncompressed_size > max(PACKED[0], PACKED[1] * column.total_compressed_size)
            if packed or column.num_values > MAX_VALUES:
                raise InputError(f"column {column.path_in_schema!r} unpacks to too much", where=where, mend=MEND)
    leaves = [claimed.schema.column(number) for number in range(told.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    file.seek(0)
    return pq.ParquetFile(file, read_dictionary=texts)


def pieces(parquet: pq.ParquetFile, rows: int, where: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Its rows, so many at once."""
    for batch in parquet.iter_batches(rows, columns=columns):
        if sum(_unpacked(column) for column in batch.columns) > MAX_PIECE:
            raise InputError(f"{batch.num_rows} rows unpack to more than {MAX_PIECE >> 30} GB", where=where, mend=MEND)
        yield batch


def _unpacked(array: Any) -> int:
    """Bytes that an array comes to, once each text stands where it belongs."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(array.dictionary).cast(pa.int64())
        return pc.sum(lengths.take(array.indices)).as_py() or 0
    if pa.types.is_struct(kind):
        return sum(map(_unpacked, array.flatten()))
    if pa.types.is_map(kind):
        return _unpacked(array.keys) + _unpacked(array.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _unpacked(array.flatten())
    return array.nbytes
