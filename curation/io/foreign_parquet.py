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
    file_bytes = file.seek(0, 2)
    file.seek(0)
    untrusted_file: Any = pq.ParquetFile(file)
    parquet_metadata = untrusted_file.metadata
    if parquet_metadata.num_rows > MAX_ROWS_PER_BYTE * file_bytes:
        raise InputError(f"{parquet_metadata.num_rows} rows in {file_bytes} bytes", where=where, hint=HINT)
    column_chunk_claims = list(column_claims(file, where))
    if len(column_chunk_claims) != parquet_metadata.num_row_groups * parquet_metadata.num_columns:
        raise InputError("row groups lack columns", where=where, hint=HINT)
    for chunk_index, column_chunk_claim in enumerate(column_chunk_claims):
        is_too_large = column_chunk_claim.unpacked_bytes > max(
            MAX_UNPACKED[0], MAX_UNPACKED[1] * column_chunk_claim.packed_bytes
        )
        if is_too_large or column_chunk_claim.values > MAX_VALUES:
            column_path = untrusted_file.schema.column(chunk_index % parquet_metadata.num_columns).path
            raise InputError(f"column {column_path!r} unpacks to too much", where=where, hint=HINT)
    leaf_columns = [untrusted_file.schema.column(column_index) for column_index in range(parquet_metadata.num_columns)]
    text_column_paths = [leaf_column.path for leaf_column in leaf_columns if leaf_column.physical_type == "BYTE_ARRAY"]
    file.seek(0)
    return pq.ParquetFile(file, read_dictionary=text_column_paths)


def pieces(
    parquet: pq.ParquetFile, max_rows: int, where: str, column_names: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a file, up to `max_rows` at once."""
    for record_batch in parquet.iter_batches(max_rows, columns=column_names):
        if sum(_unpacked_bytes(column_array) for column_array in record_batch.columns) > MAX_PIECE_BYTES:
            raise InputError(
                f"{record_batch.num_rows} rows unpack to more than {MAX_PIECE_BYTES >> 30} GB", where=where, hint=HINT
            )
        yield record_batch


def _unpacked_bytes(arrow_array: Any) -> int:
    """The bytes of an array once its dictionaries are unpacked."""
    array_type = arrow_array.type
    if pa.types.is_dictionary(array_type):
        value_lengths = pc.binary_length(arrow_array.dictionary).cast(pa.int64())
        return pc.sum(value_lengths.take(arrow_array.indices)).as_py() or 0
    if pa.types.is_struct(array_type):
        return sum(map(_unpacked_bytes, arrow_array.flatten()))
    if pa.types.is_map(array_type):
        return _unpacked_bytes(arrow_array.keys) + _unpacked_bytes(arrow_array.items)
    if pa.types.is_list(array_type) or pa.types.is_large_list(array_type) or pa.types.is_fixed_size_list(array_type):
        return _unpacked_bytes(arrow_array.flatten())
    return arrow_array.nbytes
