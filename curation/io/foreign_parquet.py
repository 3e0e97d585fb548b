"""Reads foreign Parquet files in pieces that fit into memory: a few bytes can unpack to any number of rows and letters.

Texts are read as dictionaries. So a text that occurs a million times is held once, and the unpacked size of a piece is known
before it is unpacked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dmforge.curation.io.parquet_footer import column_claims
from dmforge.schemas.errors import InputError

MAX_PIECE_BYTES = 1 << 30
"""The most bytes to which one piece may unpack."""
MAX_VALUES = 100_000_000
"""The most values of a column in one row group."""
MAX_ROWS_PER_BYTE = 100
"""The most rows per byte of a file: more can be declared, but not differ."""
MAX_UNPACKED = 256 << 20, 256
"""Bytes of a column in a row group, above which it may unpack to no more than this many times its packed size."""
HINT = "look at it with another reader; if it is sound, write it anew in smaller groups of rows"


def open_parquet(file: IO[bytes], where: str) -> pq.ParquetFile:
    """Open a Parquet file, unless its metadata claims implausible sizes."""
    size = file.seek(0, 2)
    file.seek(0)
    untrusted: Any = pq.ParquetFile(file)
    metadata = untrusted.metadata
    if metadata.num_rows > MAX_ROWS_PER_BYTE * size:
        raise InputError(f"{metadata.num_rows} rows in {size} bytes", where=where, hint=HINT)
    claims = list(column_claims(file, where))
    if len(claims) != metadata.num_row_groups * metadata.num_columns:
        raise InputError("row groups lack columns", where=where, hint=HINT)
    for number, claim in enumerate(claims):
        is_too_large = claim.unpacked_bytes > max(MAX_UNPACKED[0], MAX_UNPACKED[1] * claim.packed_bytes)
        if is_too_large or claim.values > MAX_VALUES:
            column = untrusted.schema.column(number % metadata.num_columns).path
            raise InputError(f"column {column!r} unpacks to too much", where=where, hint=HINT)
    leaves = [untrusted.schema.column(column_index) for column_index in range(metadata.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    file.seek(0)
    return pq.ParquetFile(file, read_dictionary=texts)


def pieces(parquet: pq.ParquetFile, max_rows: int, where: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a file, up to `max_rows` at once."""
    for batch in parquet.iter_batches(max_rows, columns=columns):
        if sum(_unpacked_bytes(column) for column in batch.columns) > MAX_PIECE_BYTES:
            raise InputError(f"{batch.num_rows} rows unpack to more than {MAX_PIECE_BYTES >> 30} GB", where=where, hint=HINT)
        yield batch


def _unpacked_bytes(array: Any) -> int:
    """The bytes of an array once its dictionaries are unpacked."""
    type_ = array.type
    if pa.types.is_dictionary(type_):
        lengths = pc.binary_length(array.dictionary).cast(pa.int64())
        return pc.sum(lengths.take(array.indices)).as_py() or 0
    if pa.types.is_struct(type_):
        return sum(map(_unpacked_bytes, array.flatten()))
    if pa.types.is_map(type_):
        return _unpacked_bytes(array.keys) + _unpacked_bytes(array.items)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_):
        return _unpacked_bytes(array.flatten())
    return array.nbytes
