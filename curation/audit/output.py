"""Answers of audits written as a table, CSV, JSON or Parquet: as a stream, in memory that doesn't grow."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from dmforge.curation.audit.printed_ids import kind_of
from dmforge.curation.audit.query import QueryResult
from dmforge.curation.io.atomic import HashedFile, sync_folder, writing
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, show
from dmforge.schemas.visible import escaped_in_line

Format = Literal["table", "csv", "json", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
MAX_PRINTED_ROWS = 100_000
"""How many rows are printed at most; more belong into a file."""
CHUNK_ROWS = 10_000
"""Rows that are turned into Python at a time."""


def format_of(requested_format: str | None, out_path: Path | None) -> Format:
    """The format of an answer: the requested one, else that of the file's suffix, else a table."""
    file_suffix = out_path.suffix.removeprefix(".") if out_path else ""
    format_name = requested_format or file_suffix or "table"
    matching_format: Format | None = next(
        (matching_format for matching_format in FORMATS if matching_format == format_name), None
    )
    if matching_format is None or (matching_format == "table" and out_path is not None):
        option_text = "--format" if requested_format else f"--out {out_path}"
        allowed_formats = [matching_format for matching_format in FORMATS if matching_format != "table" or out_path is None]
        raise InputError(f"{format_name!r} is no format", where=option_text, hint=nearest(format_name, allowed_formats))
    if matching_format == "parquet" and out_path is None:
        raise InputError("Parquet is not for a terminal", where="--format", hint="give a file with --out FILE")
    return matching_format


Naming = Callable[[str, Collection[Id]], Mapping[Id, str]]
"""The printed form of ids in a column: `Names.of`, or `by_column`."""


class StreamedResult(NamedTuple):
    """An answer as a stream of batches, with the names of its ids."""

    batches: pa.RecordBatchReader
    naming: Naming


def answer_of(answer_stream: StreamedResult) -> QueryResult:
    """The whole answer of a stream, for printing."""
    printed_rows: list[list[Any]] = []
    for row_chunk in _chunks(answer_stream.batches, answer_stream.naming):
        printed_rows += row_chunk
        if len(printed_rows) > MAX_PRINTED_ROWS:
            message = f"more than {MAX_PRINTED_ROWS} rows"
            raise InputError(
                message, where="audit", hint="write them to a file, --out rows.parquet; or put LIMIT behind the question"
            )
    return QueryResult(answer_stream.batches.schema.names, printed_rows)


def table_of(answer_stream: StreamedResult) -> pa.Table:
    """The whole answer of a stream, with ids in its columns as they are printed."""
    raw_table = answer_stream.batches.read_all()
    for column_index, column_field in enumerate(raw_table.schema):
        if pa.types.is_binary(column_field.type) or pa.types.is_fixed_size_binary(column_field.type):
            plain_cells = _plain_column(column_field.name, raw_table.column(column_index), answer_stream.naming)
            raw_table = raw_table.set_column(column_index, column_field.name, pa.array(plain_cells, pa.string()))
    return raw_table


def as_csv(answer: QueryResult) -> str:
    """A header and a line a row."""
    return "".join(_csv_lines(answer.columns, [answer.rows]))


def write_from(answer_context: AbstractContextManager[StreamedResult], path: Path, form: Format) -> int:
    """Write an answer into a file, all of it or nothing; how many rows it has. An answer that breaks off leaves no file."""
    with writing(path) as hashed_file, answer_context as answer_stream:
        counted_batches = _Counted(answer_stream.batches, answer_stream.naming)
        WRITERS[form](counted_batches, hashed_file)
    sync_folder(path.parent)
    return counted_batches.rows


class _Counted:
    """A stream of batches that counts its rows."""

    def __init__(self, batches: pa.RecordBatchReader, naming: Naming) -> None:
        self.schema, self.naming, self._batches, self.rows = batches.schema, naming, batches, 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.rows += batch.num_rows
            yield batch


def _write_csv(batches: _Counted, file: HashedFile) -> None:
    for line in _csv_lines(batches.schema.names, _chunks(batches, batches.naming)):
        file.write(line.encode())


def _write_json(batches: _Counted, file: HashedFile) -> None:
    column_names_json = json.dumps(batches.schema.names, ensure_ascii=False)
    file.write(f'{{"columns": {column_names_json}, "rows": ['.encode())
    row_separator = "\n"
    for row_chunk in _chunks(batches, batches.naming):
        for row_cells in row_chunk:
            file.write((row_separator + json.dumps(row_cells, ensure_ascii=False)).encode("utf-8", "backslashreplace"))
            row_separator = ",\n"
    file.write(b"\n]}\n")


def _write_parquet(batches: _Counted, file: HashedFile) -> None:
    with pq.ParquetWriter(pa.PythonFile(file, "w"), batches.schema, compression="zstd") as parquet_writer:
        for batch in batches:
            parquet_writer.write_batch(batch)


WRITERS: dict[Format, Callable[[_Counted, HashedFile], None]] = {
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
}


def _chunks(batches: Iterable[pa.RecordBatch], naming: Naming) -> Iterator[list[list[Any]]]:
    """Rows of plain values, some thousand at a time. By column: two columns may have one name."""
    for batch in batches:
        for start_row in range(0, batch.num_rows, CHUNK_ROWS):
            batch_slice = batch.slice(start_row, CHUNK_ROWS)
            plain_columns = [
                _plain_column(column_name, batch_slice.column(column_index), naming)
                for column_index, column_name in enumerate(batch.schema.names)
            ]
            yield [list(row_cells) for row_cells in zip(*plain_columns, strict=True)]


def _csv_lines(columns: list[str], chunks: Iterable[list[list[Any]]]) -> Iterator[str]:
    yield _csv_text([map(_cell, columns)])
    for row_chunk in chunks:
        yield _csv_text([[_cell(cell) for cell in row_cells] for row_cells in row_chunk])


def _csv_text(rows: Iterable[Iterable[Any]]) -> str:
    csv_buffer = io.StringIO()
    csv.writer(csv_buffer, lineterminator="\n").writerows(rows)
    return csv_buffer.getvalue()


def _cell(value: Any) -> Any:
    """A value as a part of one line: a text with line ends would be two rows to a reader of lines. JSON keeps it as it is."""
    cell_text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
    return escaped_in_line(cell_text) if isinstance(cell_text, str) else cell_text


def _plain_column(column_name: str, column: pa.Array[Any] | pa.ChunkedArray[Any], naming: Naming) -> list[Any]:
    cells = column.to_pylist()
    ids_in_column = set(_ids(cells)) if "binary" in str(column.type) else set[Id]()
    name_by_id = naming(column_name, ids_in_column) if ids_in_column else {}
    return [plain(cell, column_name, name_by_id) for cell in cells]


def _ids(values: Iterable[Any]) -> Iterator[Id]:
    for cell_value in values:
        if isinstance(cell_value, bytes):
            if len(cell_value) == ID_BYTES:
                yield cell_value
        elif isinstance(cell_value, list | dict):
            yield from _ids(cell_value.values() if isinstance(cell_value, dict) else cell_value)


def plain(value: Any, column: str, names: Mapping[Id, str]) -> Any:
    """A value as JSON knows it: ids as they are printed everywhere, other bytes in hex; what is no number is nothing."""
    if isinstance(value, bytes):
        return names.get(value) or (show(kind_of(column), value) if len(value) == ID_BYTES else value.hex())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {str(field_name): plain(inner_value, str(field_name), names) for field_name, inner_value in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner_value, column, names) for inner_value in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int) else str(value)
