"""The columns of a journal's file, kept beside it: what audits ask of its first lines, once these were read. The file itself is
the truth.

They are thrown away wherever they don't fit, as the index is: where the file has become shorter, where the bytes before their
end are others than they were, where they are not as they were written. A line that could not be read is never among them.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dmforge.curation.io.atomic import disk_errors, remove_file, writing
from dmforge.curation.lake.journal_index_file import MODE, tail_digest
from dmforge.schemas.errors import LakeError

SUFFIX = ".columns"
MAGIC = b"dmforge answer columns 1\n"
"""Begins the file; behind it the sha256 of the rest, which is Parquet."""
COVERED, TAIL = b"covered bytes", b"sha256 of the tail"


class ColumnsUnfit(ValueError):
    """The columns are not as they were written, or not of this journal."""


@dataclass(frozen=True, slots=True)
class AnswerColumns:
    """What the first lines of a journal's file say, a row each."""

    covered_bytes: int
    table: pa.Table


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
        table = pq.read_table(pa.BufferReader(_unsealed(path.read_bytes())))
        metadata = table.schema.metadata or {}
        covered_bytes = int(metadata[COVERED])
        if metadata[TAIL] != tail_digest(journal_path, covered_bytes).hex().encode():
            raise ColumnsUnfit("the journal before the place up to which they go is another one")
        table = table.replace_schema_metadata(None)
        if not table.schema.equals(schema.remove_metadata()):
            raise ColumnsUnfit("they are those of another version")
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, LakeError, KeyError, ValueError) as error:
        raise ColumnsUnfit(str(error)) from error
    return AnswerColumns(covered_bytes, table)


def write_columns(journal_path: Path, covered_bytes: int, table: pa.Table, suffix: str = "") -> None:
    """Keep the columns of a file up to some place."""
    fit = {COVERED: str(covered_bytes).encode(), TAIL: tail_digest(journal_path, covered_bytes).hex().encode()}
    path = columns_path(journal_path)
    parquet = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks().replace_schema_metadata(fit), parquet)
    content = parquet.getvalue().to_pybytes()
    with disk_errors(path), writing(path, MODE, suffix) as columns_file:
        columns_file.write(MAGIC + hashlib.sha256(content).digest() + content)


def remove_columns(journal_path: Path) -> None:
    """Remove the columns of a file that is about to be another one."""
    remove_file(columns_path(journal_path))


def _unsealed(file_bytes: bytes) -> memoryview:
    content = memoryview(file_bytes)[len(MAGIC) + hashlib.sha256().digest_size :]
    if not file_bytes.startswith(MAGIC + hashlib.sha256(content).digest()):
        raise ColumnsUnfit("they were changed after they were written")
    return content
