"""Annotation files, read without trusting them: what can't be read is one error that names the file and the place."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from dmforge.curation.io.atomic import disk_errors
from dmforge.curation.sources.annotation_format import AnnotationFormat, Raw
from dmforge.curation.sources.strict_json import HINT, list_elements, parse_json
from dmforge.schemas.errors import DmforgeError, InputError, first_line

MAX_LINE = 64 << 20
MAX_DOCUMENT = 2 << 30
MAX_UTF16 = 256 << 20
"""The limit for a file in UTF-16, as spreadsheets save it: it is read as a whole, since its line ends are no single bytes."""
PARQUET = b"PAR1"
"""How such a file begins."""
CONVERT = "convert the file to UTF-8, as in: iconv -f UTF-16 -t UTF-8 FILE > NEW"


def raw_records(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Any]]:
    """The records of a file, each with its place in it; what can't be read is an error."""
    for record_place, record in readable_records(file, form):
        if isinstance(record, InputError):
            raise record
        yield record_place, record


def readable_records(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Any | InputError]]:
    """The records of a file, each with its place in it; in place of one that can't be read the error, where others follow."""
    if not file.is_file():
        raise InputError("there is no such file", where=str(file), hint="correct the path")
    if not file.stat().st_size:
        raise InputError("the file is empty", where=str(file), hint=HINT)
    read_records = {"json": _read_json_records, "csv": _read_csv_rows, "text": _read_text_lines, "parquet": _read_parquet_rows}[
        "parquet" if form.layout == "json" and _is_parquet(file) else form.layout
    ]
    with disk_errors(file):
        yield from read_records(file, form)


def placed_message(error: DmforgeError, file: Path) -> str:
    """What an error says of a file, and where in it."""
    place = error.where.removeprefix(str(file)).strip(" ,:") if error.where else ""
    place = f"line {place}" if place.isdecimal() else place
    return f"{error.message} ({place})" if place else error.message


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
    first_letter = first_json_letter(file)
    if form.records is not None and first_letter in (b"[", b"{"):
        yield from _read_document(file, form)
    else:
        yield from (_read_json_list if first_letter == b"[" else _read_json_lines)(file)


def first_json_letter(file: Path) -> bytes:
    """The first byte that is no blank: `[` begins a list, `{` an object."""
    with open_as_utf8(file) as text_file:
        return text_file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _read_json_list(file: Path) -> Iterator[tuple[str, Any | InputError]]:
    with open_as_utf8(file) as list_file:
        for record_number, raw_record in enumerate(list_elements(list_file, str(file)), 1):
            yield str(record_number), raw_record


def _read_text_lines(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Raw | InputError]]:
    del form
    with open_as_utf8(file) as text_lines:
        for line_number, line in _numbered_lines(text_lines, file):
            yield str(line_number), line if isinstance(line, InputError) else {"line": line}


def _read_json_lines(file: Path) -> Iterator[tuple[str, Any | InputError]]:
    with open_as_utf8(file) as lines:
        for line_number, line in _numbered_lines(lines, file):
            yield str(line_number), line if isinstance(line, InputError) else _parsed_line(line, f"{file}:{line_number}")


def _parsed_line(line: str, where: str) -> Any | InputError:
    try:
        return parse_json(line, where)
    except InputError as error:
        return error


def _numbered_lines(file: IO[bytes], path: Path) -> Iterator[tuple[int, str | InputError]]:
    line_number = 0
    # at line feeds only: JSON strings may hold any of the other characters that end a line somewhere
    while line := file.readline(MAX_LINE + 1):
        line_number += 1
        line_location = f"{path}:{line_number}"
        if len(line) > MAX_LINE:
            raise InputError(f"a line of more than {MAX_LINE >> 20} MB", where=line_location, hint=HINT)
        if b"\0" in line:
            hint = f"give a text; if it is UTF-16 without a byte order mark, {CONVERT}"
            yield line_number, InputError("NUL bytes, which no text in UTF-8 has", where=line_location, hint=hint)
            continue
        try:
            line_text = line.decode("utf-8-sig" if line_number == 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError as error:
            hint = "convert the file to UTF-8"
            yield line_number, InputError(f"not UTF-8: {error.reason}", where=line_location, hint=hint)
            continue
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
    return parse_json(json_text, str(file))


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


def _read_csv_rows(file: Path, form: AnnotationFormat) -> Iterator[tuple[str, Raw]]:
    del form
    with open_as_utf8(file) as text_lines:
        csv_reader = csv.DictReader(_lines_of_csv(text_lines, file))
        try:
            for csv_row in csv_reader:
                yield str(csv_reader.line_num), csv_row
        except csv.Error as error:
            raise InputError(f"not CSV: {error}", where=f"{file}:{csv_reader.line_num}", hint=HINT) from None


def _lines_of_csv(text_lines: IO[bytes], file: Path) -> Iterator[str]:
    """The lines of a table; since a row may go on over several, one that can't be read ends it with an error."""
    for _, line in _numbered_lines(text_lines, file):
        if isinstance(line, InputError):
            raise line
        yield line + "\n"


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
