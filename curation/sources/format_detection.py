"""The format of an annotation file, by the keys of its first records."""

from __future__ import annotations

import itertools
from functools import cached_property
from pathlib import Path
from typing import Any

from dmforge.curation.sources.annotation_files import first_json_letter, read_json, readable_records
from dmforge.curation.sources.annotation_format import AnnotationFormat
from dmforge.curation.sources.formats import FORMATS
from dmforge.schemas.errors import InputError

STRUCTURE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
"""What a format's function raises where a record is not built as it expects."""
FIRST_RECORDS = 5
"""How many records of a file are tried: the first one may be broken."""


def detect_format(file: Path, other_than: str = "") -> AnnotationFormat | None:
    """The format that a file looks like: the one with the most keys that its records have. Lists of ids look like any text."""
    first_records = _FirstRecords(file)
    fitting_formats = [form for form in FORMATS.values() if form.name not in (other_than, "ids") and _fits(form, first_records)]
    return max(fitting_formats, key=lambda form: (len(form.keys), form.name), default=None)


def _fits(form: AnnotationFormat, first_records: _FirstRecords) -> bool:
    try:
        records = first_records.of(form)
    except (InputError, OSError, *STRUCTURE):
        return False
    return any(_is_like(form, record) for record in records)


def _is_like(form: AnnotationFormat, record: Any) -> bool:
    try:
        return form.keys <= record.keys() and any(True for _ in form.questions(record, {}))
    except STRUCTURE:
        return False


class _FirstRecords:
    """The first records of a file, as different formats read them; the file is read no further than need be."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def of(self, form: AnnotationFormat) -> list[Any]:
        if form.layout in ("text", "csv") and self._first_letter in (b"[", b"{"):
            return []  # which may be one line without end
        if form.layout == "json" and form.records is not None:
            return list(itertools.islice(form.records(self._document), FIRST_RECORDS))
        if form.layout == "json":
            return self._json_records
        return _first_readable(self._file, form)

    @cached_property
    def _json_records(self) -> list[Any]:
        return _first_readable(self._file, FORMATS["jsonl"])

    @cached_property
    def _document(self) -> Any:
        """The document; of a list, its beginning."""
        return self._json_records if self._first_letter == b"[" else read_json(self._file)

    @cached_property
    def _first_letter(self) -> bytes:
        return first_json_letter(self._file)


def _first_readable(file: Path, form: AnnotationFormat) -> list[Any]:
    records = itertools.islice(readable_records(file, form), FIRST_RECORDS)
    return [record for _, record in records if not isinstance(record, InputError)]
