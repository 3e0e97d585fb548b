"""The columns of a journal's file, kept beside it: what audits ask of its first lines, once these were read. The file itself is
the truth.

They are thrown away wherever they don't fit, as the index is: where the file has become shorter, where the bytes before their
end are others than they were, where they are not as they were written. A line that could not be read is never among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dmforge.curation.io.atomic import disk_errors, remove_file, writing
from dmforge.curation.lake.journal_index_file import MODE, tail_digest
from dmforge.schemas.errors import LakeError

SUFFIX = ".columns"
SEAL = b"dmforge answer columns 1\n"
"""Ends the file, which is Parquet before that; behind it stands the sha256 of the Parquet."""
ROWS_AT_ONCE = 10_000
COVERED, TAIL = b"covered bytes", b"sha256 of the tail"


class ColumnsUnfit(ValueError):
    """The columns are not as they were written, or not of this journal."""


@dataclass(frozen=True, slots=True)
class AnswerColumns:
    """What the first lines of a journal's file say, a row each."""

    covered_bytes: int
    _parquet: pq.ParquetFile

    @property
    def row_count(self) -> int:
        return self._parquet.metadata.num_rows

    def table(self) -> pa.Table:
        """All rows at once."""
        return self._parquet.read()

    def tables(self) -> Iterator[pa.Table]:
        """Some rows at a time."""
        for batch in self._parquet.iter_batches(ROWS_AT_ONCE):
            yield pa.Table.from_batches([batch])


def columns_path(journal_path: Path) -> Path:
    return journal_path.with_name(journal_path.name + SUFFIX)


def open_columns(journal_path: Path, schema: pa.Schema) -> AnswerColumns | None:
    """The columns of a file; None where there are none that fit."""
    with suppress(ColumnsUnfit, FileNotFoundError):
        return read_columns(journal_path, schema)
    return None


def read_columns(journal_path: Path, schema: pa.Schema) -> AnswerColumns:
    """The columns of a file, checked as far as can be told without reading all of the file."""
    path = columns_path(journal_path)
    try:
        parquet = pq.ParquetFile(pa.BufferReader(_unsealed(path)))
        metadata = parquet.metadata.metadata or {}
        covered_bytes = int(metadata[COVERED])
        if metadata[TAIL] != tail_digest(journal_path, covered_bytes).hex().encode():
            raise ColumnsUnfit("the journal before the place up to which they go is another one")
        if not parquet.schema_arrow.equals(schema):
            raise ColumnsUnfit("they are those of another version")
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, LakeError, KeyError, ValueError) as error:
        raise ColumnsUnfit(str(error)) from error
    return AnswerColumns(covered_bytes, parquet)


def write_columns(
    journal_path: Path, tables: Iterable[pa.Table], schema: pa.Schema, covered: Callable[[], int], suffix: str = ""
) -> None:
    """Keep the columns of a file, some rows at a time; `covered` says after the last how many bytes of the file they are."""
    path = columns_path(journal_path)
    with disk_errors(path), writing(path, MODE, suffix) as columns_file:
        sink: Any = columns_file  # pyarrow takes whatever can write
        with pq.ParquetWriter(sink, schema) as writer:
            for table in tables:
                writer.write_table(table)
            covered_bytes = covered()
            tail = tail_digest(journal_path, covered_bytes).hex()
            writer.add_key_value_metadata({COVERED.decode(): str(covered_bytes), TAIL.decode(): tail})
        parquet_digest = bytes.fromhex(columns_file.sha256)
        columns_file.write(SEAL + parquet_digest)


def remove_columns(journal_path: Path) -> None:
    """Remove the columns of a file that is about to be another one."""
    remove_file(columns_path(journal_path))


def _unsealed(path: Path) -> pa.Buffer:
    """The Parquet in a file that is as it was written."""
    file_bytes = pa.memory_map(str(path)).read_buffer() if path.stat().st_size else pa.py_buffer(b"")
    parquet_bytes = max(0, file_bytes.size - len(SEAL) - hashlib.sha256().digest_size)
    parquet = file_bytes.slice(0, parquet_bytes)
    if file_bytes.slice(parquet_bytes).to_pybytes() != SEAL + hashlib.sha256(parquet).digest():
        raise ColumnsUnfit("they were changed after they were written")
    return parquet
