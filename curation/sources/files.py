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

from dmforge.curation.atomic import disk_errors
from dmforge.curation.sources.contract import Format, Raw
from dmforge.schemas.errors import InputError

MAX_LINE = 64 << 20
MAX_DOCUMENT = 2 << 30
MAX_UTF16 = 256 << 20
"""Of a file that is read as a whole, because its line ends are no bytes of their own: a spreadsheet's."""
MEND = "give a file of this format; dmforge import --list says what each looks like"
MAX_KEY = 80
"""Letters of a key that are quoted."""
CONVERT = "convert the file to UTF-8, as in: iconv -f UTF-16 -t UTF-8 FILE > NEW"


def raw_records(file: Path, form: Format) -> Iterator[tuple[str, Any]]:
    """The records of a file, each with its place in it."""
    if not file.is_file():
        raise InputError("there is no such file", where=str(file), mend="correct the path")
    if not file.stat().st_size:
        raise InputError("the file is empty", where=str(file), mend=MEND)
    reader = {"json": _records, "csv": _rows, "text": _text, "parquet": _parquet}[form.layout]
    with disk_errors(file):
        yield from reader(file, form)


def opened_as_utf8(file: Path) -> AbstractContextManager[IO[bytes]]:
    """A file of text as UTF-8, whichever Unicode its first bytes say that it is: spreadsheets on Windows save UTF-16."""
    opened = file.open("rb")
    encoding = next((name for mark, name in MARKS if opened.peek(4).startswith(mark)), "")
    if not encoding:
        return opened
    with opened:
        if file.stat().st_size > MAX_UTF16:
            raise InputError(f"a file of more than {MAX_UTF16 >> 20} MB in {encoding}", where=str(file), mend=CONVERT)
        try:
            return io.BytesIO(opened.read().decode(encoding).encode())
        except UnicodeDecodeError as error:
            told = f"its first bytes say {encoding}, and the rest is none: {error.reason}"
            raise InputError(told, where=str(file), mend=CONVERT) from None


MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip
"""Marks of byte order; the first that fits, as the longer begins with a shorter one."""


def _records(file: Path, form: Format) -> Iterator[tuple[str, Any]]:
    """JSON is a document, or a record a line, as its authors liked: a list, or what the format has more than one way of."""
    with opened_as_utf8(file) as opened:
        head = opened.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    is_document = head[:1] == b"[" or (head[:1] == b"{" and form.records is not None)
    yield from (_document if is_document else _lines)(file, form)


def _text(file: Path, form: Format) -> Iterator[tuple[str, Raw]]:
    del form
    with opened_as_utf8(file) as lines:
        for number, line in _numbered(lines, file):
            yield str(number), {"line": line}


def _lines(file: Path, form: Format) -> Iterator[tuple[str, Any]]:
    del form
    with opened_as_utf8(file) as lines:
        for number, line in _numbered(lines, file):
            yield str(number), _json(line, f"{file}:{number}")


def _numbered(file: IO[bytes], path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    # at line feeds only: JSON strings may hold any of the other characters that end a line somewhere
    while line := file.readline(MAX_LINE + 1):
        number += 1
        where = f"{path}:{number}"
        if len(line) > MAX_LINE:
            raise InputError(f"a line of more than {MAX_LINE >> 20} MB", where=where, mend=MEND)
        if b"\0" in line:
            mend = f"give a text; if it is UTF-16 without a byte order mark, {CONVERT}"
            raise InputError("NUL bytes, which no text in UTF-8 has", where=where, mend=mend)
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"not UTF-8: {error.reason}", where=where, mend="convert the file to UTF-8") from None
        if text.strip():
            yield number, text


def read_json(file: Path) -> Any:
    """A document of JSON as a whole."""
    if file.stat().st_size > MAX_DOCUMENT:
        told = f"a JSON document of more than {MAX_DOCUMENT >> 30} GB"
        raise InputError(told, where=str(file), mend="cut it into several")
    try:
        with opened_as_utf8(file) as opened:
            text = opened.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"{file}: byte {error.start}"
        raise InputError(f"not UTF-8: {error.reason}", where=place, mend="convert the file to UTF-8") from None
    return _json(text, str(file))


def _document(file: Path, form: Format) -> Iterator[tuple[str, Any]]:
    document = read_json(file)
    try:
        records = document if form.records is None else form.records(document)
        if not isinstance(records, list):
            records = list(records)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"not a document of {form.name}", where=str(file), mend=MEND) from None
    for number, record in enumerate(records, 1):
        yield str(number), record


def _json(text: str, where: str) -> Any:
    """A document, in which no key stands twice with different values: the last would win without a word."""
    twice: list[tuple[str, object]] = []

    def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            twice.extend((key, record) for key, value in pairs if record[key] != value)
        return record

    try:
        document = json.loads(text, object_pairs_hook=no_key_twice)
    except json.JSONDecodeError as error:
        place = where if error.lineno == 1 else f"{where}, line {error.lineno}"
        raise InputError(f"not JSON: {error.msg.lower()} at column {error.colno}", where=place, mend=MEND) from None
    except (RecursionError, ValueError):
        raise InputError("JSON that is nested too deeply, or has a number without end", where=where, mend=MEND) from None
    if twice:
        key, record = twice[-1]  # the outermost: no other one can have been lost with what it stands in
        told = f"the key {key[:MAX_KEY]!r} stands twice in one object, with different values"
        mend = "keep the one that is right; an object of JSON has each key once"
        raise InputError(told, where=where + _way_to(record, document, text, key), mend=mend)
    return document


def _way_to(record: object, document: object, text: str, key: str) -> str:
    """Where an object stands in a document: its line where it is all of it, else the way down to it."""
    if record is document:
        return f", line {text.count(chr(10), 0, text.rfind(json.dumps(key))) + 1}" if "\n" in text else ""
    ways: list[tuple[str, Any]] = [("", document)]
    while ways:
        way, value = ways.pop()
        if value is record:
            return way
        between = " > " if way else ": "
        if isinstance(value, dict):
            ways += [(f"{way}{between}{name[:MAX_KEY]}", part) for name, part in value.items()]
        elif isinstance(value, list):
            ways += [(f"{way}{between}record {number}", part) for number, part in enumerate(value, 1)]
    return ""


def _rows(file: Path, form: Format) -> Iterator[tuple[str, Raw]]:
    del form
    with opened_as_utf8(file) as lines:
        reader = csv.DictReader(line + "\n" for _, line in _numbered(lines, file))
        try:
            for row in reader:
                yield str(reader.line_num), row
        except csv.Error as error:
            raise InputError(f"not CSV: {error}", where=f"{file}:{reader.line_num}", mend=MEND) from None


def _parquet(file: Path, form: Format) -> Iterator[tuple[str, Raw]]:
    del form
    import pyarrow as pa

    from dmforge.curation.parquet import open_parquet, pieces

    try:
        number = 0
        with file.open("rb") as opened:
            for batch in pieces(open_parquet(opened, str(file)), 1000, str(file)):
                for row in batch.to_pylist():
                    number += 1
                    yield str(number), row
    except (pa.ArrowException, OSError, ValueError) as error:  # it says of broken bytes now this, now that
        raise InputError(f"not Parquet: {(str(error).splitlines() or [''])[0]}", where=str(file), mend=MEND) from None
