"""Annotation files, read without trusting them: what can't be read is one error that names the file and the place."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from dmforge.curation.atomic import disk_errors
from dmforge.curation.sources.contract import Format, Raw
from dmforge.schemas.errors import InputError

MAX_LINE = 64 << 20
MAX_DOCUMENT = 2 << 30
MEND = "give a file of this format; dmforge import --list says what each looks like"


def raw_records(file: Path, form: Format) -> Iterator[tuple[str, Any]]:
    """The records of a file, each with its place in it."""
    if not file.is_file():
        raise InputError("there is no such file", where=str(file), mend="correct the path")
    if not file.stat().st_size:
        raise InputError("the file is empty", where=str(file), mend=MEND)
    reader = {"json": _records, "csv": _rows, "text": _text, "parquet": _parquet}[form.layout]
    with disk_errors(file):
        yield from reader(file, form)


def _records(file: Path, form: Format) -> Iterator[tuple[str, Any]]:
    """JSON is a document, or a record a line, as its authors liked: a list, or what the format has more than one way of."""
    with file.open("rb") as opened:
        head = opened.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    is_document = head[:1] == b"[" or (head[:1] == b"{" and form.records is not None)
    yield from (_document if is_document else _lines)(file, form)


def _text(file: Path, form: Format) -> Iterator[tuple[str, Raw]]:
    del form
    with file.open("rb") as lines:
        for number, line in _numbered(lines, file):
            yield str(number), {"line": line}


def _lines(file: Path, form: Format) -> Iterator[tuple[str, Any]]:
    del form
    with file.open("rb") as lines:
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
            raise InputError("bytes that no text has", where=where, mend=MEND)
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"not UTF-8: {error.reason}", where=where, mend="convert the file to UTF-8") from None
        if text.strip():
            yield number, text


def _document(file: Path, form: Format) -> Iterator[tuple[str, Any]]:
    if file.stat().st_size > MAX_DOCUMENT:
        told = f"a JSON document of more than {MAX_DOCUMENT >> 30} GB"
        raise InputError(told, where=str(file), mend="cut it into several")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"{file}: byte {error.start}"
        raise InputError(f"not UTF-8: {error.reason}", where=place, mend="convert the file to UTF-8") from None
    document = _json(text, str(file))
    try:
        records = document if form.records is None else form.records(document)
        if not isinstance(records, list):
            records = list(records)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"not a document of {form.name}", where=str(file), mend=MEND) from None
    for number, record in enumerate(records, 1):
        yield str(number), record


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = where if error.lineno == 1 else f"{where}, line {error.lineno}"
        raise InputError(f"not JSON: {error.msg.lower()} at column {error.colno}", where=place, mend=MEND) from None
    except (RecursionError, ValueError):
        raise InputError("JSON that is nested too deeply, or has a number without end", where=where, mend=MEND) from None


def _rows(file: Path, form: Format) -> Iterator[tuple[str, Raw]]:
    del form
    with file.open("rb") as lines:
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
