"""Annotation files, read without trusting them: what can't be read is one error that names the file and the place."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from dmforge.curation.io.atomic import disk_errors
from dmforge.curation.sources.annotation_format import AnnotationFormat, Raw
from dmforge.schemas.errors import InputError, first_line

MAX_LINE = 64 << 20
MAX_DOCUMENT = 2 << 30
MAX_UTF16 = 256 << 20
"""The limit for a file in UTF-16, as spreadsheets save it: it is read as a whole, since its line ends are no single bytes."""
HINT = "give a file of this format; dmforge import --list says what each looks like"
PARQUET = b"PAR1"
MAX_KEY = 80
"""Letters of a key that messages quote."""
CONVERT = "convert the file to UTF-8, as in: iconv -f UTF-16 -t UTF-8 FILE > NEW"


def raw_records(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Any]]:
    """The records of a file, each with its place in it."""
    if not file.is_file():
        raise InputError("there is no such file", where=str(file), hint="correct the path")
    if not file.stat().st_size:
        raise InputError("the file is empty", where=str(file), hint=HINT)
    read_records = {"json": _read_json_records, "csv": _read_csv_rows, "text": _read_text_lines, "parquet": _read_parquet_rows}[
        "parquet" if form.layout == "json" and _is_parquet(file) else form.layout
    ]
    with disk_errors(file):
        yield from read_records(file, form)


def _is_parquet(file: Path) -> bool:
    """Whether its first bytes say that it is Parquet, as which the Hub has many a set of JSON rows."""
    with disk_errors(file), file.open("rb") as opened_file:
        return opened_file.read(len(PARQUET)) == PARQUET


def open_as_utf8(file: Path) -> AbstractContextManager[IO[bytes]]:
    """A file of text as UTF-8, whichever Unicode its first bytes say that it is: spreadsheets on Windows save UTF-16."""
    raw_file = file.open("rb")
    detected_encoding = next(
        (encoding_name for byte_order_mark, encoding_name in MARKS if raw_file.peek(4).startswith(byte_order_mark)), ""
    )
    if not detected_encoding:
        return raw_file
    with raw_file:
        if file.stat().st_size > MAX_UTF16:
            raise InputError(f"a file of more than {MAX_UTF16 >> 20} MB in {detected_encoding}", where=str(file), hint=CONVERT)
        try:
            return io.BytesIO(raw_file.read().decode(detected_encoding).encode())
        except UnicodeDecodeError as error:
            message = f"its first bytes say {detected_encoding}, but the rest is not: {error.reason}"
            raise InputError(message, where=str(file), hint=CONVERT) from None


MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip
"""Byte order marks; the first that fits counts, as the longer ones begin with a shorter one."""


def _read_json_records(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Any]]:
    """Records of JSON: of a document, which is a list or what `form.records` takes apart, or of lines with a record each."""
    with open_as_utf8(file) as text_file:
        first_bytes = text_file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    is_document = first_bytes[:1] == b"[" or (first_bytes[:1] == b"{" and form.records is not None)
    yield from (_read_document if is_document else _read_json_lines)(file, form)


def _read_text_lines(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Raw]]:
    del form
    with open_as_utf8(file) as text_lines:
        for line_number, line in _numbered_lines(text_lines, file):
            yield str(line_number), {"line": line}


def _read_json_lines(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Any]]:
    del form
    with open_as_utf8(file) as lines:
        for line_number, line in _numbered_lines(lines, file):
            yield str(line_number), _parse_json(line, f"{file}:{line_number}")


def _numbered_lines(file: IO[bytes], path: Path) -> Iterator[tuple[int, str]]:
    line_number = 0
    # at line feeds only: JSON strings may hold any of the other characters that end a line somewhere
    while line := file.readline(MAX_LINE + 1):
        line_number += 1
        line_location = f"{path}:{line_number}"
        if len(line) > MAX_LINE:
            raise InputError(f"a line of more than {MAX_LINE >> 20} MB", where=line_location, hint=HINT)
        if b"\0" in line:
            hint = f"give a text; if it is UTF-16 without a byte order mark, {CONVERT}"
            raise InputError("NUL bytes, which no text in UTF-8 has", where=line_location, hint=hint)
        try:
            line_text = line.decode("utf-8-sig" if line_number == 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"not UTF-8: {error.reason}", where=line_location, hint="convert the file to UTF-8") from None
        if line_text.strip():
            yield line_number, line_text


def read_json(file: Path) -> Any:
    """A document of JSON as a whole."""
    if file.stat().st_size > MAX_DOCUMENT:
        message = f"a JSON document of more than {MAX_DOCUMENT >> 30} GB"
        raise InputError(message, where=str(file), hint="cut it into several")
    try:
        with open_as_utf8(file) as text_file:
            json_text = text_file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        error_location = f"{file}: byte {error.start}"
        raise InputError(f"not UTF-8: {error.reason}", where=error_location, hint="convert the file to UTF-8") from None
    return _parse_json(json_text, str(file))


def _read_document(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Any]]:
    json_document = read_json(file)
    try:
        raw_records_iterable = json_document if form.records is None else form.records(json_document)
        if not isinstance(raw_records_iterable, list):
            raw_records_iterable = list(raw_records_iterable)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"not a document of {form.name}", where=str(file), hint=HINT) from None
    for record_number, raw_record in enumerate(raw_records_iterable, 1):
        yield str(record_number), raw_record


def _parse_json(text: str, where: str) -> Any:
    """Parse JSON in which no key stands twice with different values: the last would win silently."""
    duplicate_keys: list[tuple[str, object]] = []

    def no_key_twice(key_value_pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(key_value_pairs)
        if len(record) < len(key_value_pairs):
            duplicate_keys.extend(
                (twice_key, record) for twice_key, key_value in key_value_pairs if record[twice_key] != key_value
            )
        return record

    try:
        json_document = json.loads(text, object_pairs_hook=no_key_twice)
    except json.JSONDecodeError as error:
        error_location = where if error.lineno == 1 else f"{where}, line {error.lineno}"
        raise InputError(f"not JSON: {error.msg.lower()} at column {error.colno}", where=error_location, hint=HINT) from None
    except (RecursionError, ValueError):
        raise InputError("JSON that is nested too deeply, or has a number without end", where=where, hint=HINT) from None
    if duplicate_keys:
        twice_key, outermost_record = duplicate_keys[
            -1
        ]  # the outermost: no other one can have been lost with what it stands in
        message = f"the key {twice_key[:MAX_KEY]!r} stands twice in one object, with different values"
        hint = "keep the one that is right; an object of JSON has each key once"
        raise InputError(message, where=where + _location_of(outermost_record, json_document, text, twice_key), hint=hint)
    return json_document


def _location_of(searched_record: object, document: object, text: str, duplicate_key: str) -> str:
    """Where an object stands in a document: its line where it is the whole document, else the path of keys down to it."""
    if searched_record is document:
        return f", line {text.count(chr(10), 0, text.rfind(json.dumps(duplicate_key))) + 1}" if "\n" in text else ""
    pending_values: list[tuple[str, Any]] = [("", document)]
    while pending_values:
        value_location, pending_value = pending_values.pop()
        if pending_value is searched_record:
            return value_location
        location_separator = " > " if value_location else ": "
        if isinstance(pending_value, dict):
            pending_values += [
                (f"{value_location}{location_separator}{inner_key[:MAX_KEY]}", inner_value)
                for inner_key, inner_value in pending_value.items()
            ]
        elif isinstance(pending_value, list):
            pending_values += [
                (f"{value_location}{location_separator}record {record_number}", inner_value)
                for record_number, inner_value in enumerate(pending_value, 1)
            ]
    return ""


def _read_csv_rows(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Raw]]:
    del form
    with open_as_utf8(file) as text_lines:
        csv_reader = csv.DictReader(line + "\n" for _, line in _numbered_lines(text_lines, file))
        try:
            for csv_row in csv_reader:
                yield str(csv_reader.line_num), csv_row
        except csv.Error as error:
            raise InputError(f"not CSV: {error}", where=f"{file}:{csv_reader.line_num}", hint=HINT) from None


def _read_parquet_rows(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Raw]]:
    del form
    import pyarrow as pa

    from dmforge.curation.io.foreign_parquet import open_parquet, pieces

    try:
        row_number = 0
        with file.open("rb") as parquet_file:
            for record_batch in pieces(open_parquet(parquet_file, str(file)), 1000, str(file)):
                for row in record_batch.to_pylist():
                    row_number += 1
                    yield str(row_number), row
    except (pa.ArrowException, OSError, ValueError) as error:  # broken bytes raise any of these
        raise InputError(f"not Parquet: {first_line(error)}", where=str(file), hint=HINT) from None
