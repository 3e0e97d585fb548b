"""JSON in which no key stands twice: a text as a whole, or the elements of a list one by one, however long the list is.

Of a key that stands twice in an object the last value would win silently. A list is never held as a whole: released sets are
often one list of hundreds of thousands of records.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from dmforge.schemas.errors import InputError

HINT = "give a file of this format; dmforge import --list says what each looks like"
MAX_ELEMENT = 64 << 20
"""Letters of one element of a list."""
MAX_KEY = 80
"""Letters of a key that messages quote."""
CHUNK = 1 << 20
"""Bytes that are read at once."""
IN_NUMBERS = "0123456789.eE+-"
"""What is read on for: of `0.` without the digit that follows, 0 is a value."""
_BLANKS = re.compile(r"[ \t\n\r]*")


def parse_json(text: str, where: str) -> Any:
    """The value that a text of JSON is."""
    decoder = _Decoder()
    try:
        json_document = decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _not_json(error.msg, where, error.lineno, error.colno) from None
    except (RecursionError, ValueError):
        raise InputError("JSON that is nested too deeply, or has a number without end", where=where, hint=HINT) from None
    twice_key, outermost_record = decoder.take_duplicate()
    if outermost_record is not None:
        raise _stands_twice(twice_key, where + _location_of(outermost_record, json_document, text, twice_key))
    return json_document


def list_elements(file: IO[bytes], where: str) -> Iterator[Any | InputError]:
    """The elements of a list; in place of one with a key that stands twice, the error. What is no JSON ends it with one."""
    text = _ListText(file, where)
    if text.next_letter() != "[":
        raise text.error("Expecting a list")
    text.skip()
    element_number = 0
    is_ended = text.next_letter() == "]"
    while not is_ended:
        element_number += 1
        yield text.element(element_number)
        delimiter = text.next_letter()
        if delimiter not in (",", "]"):
            raise text.error("Expecting ',' delimiter")
        is_ended = delimiter == "]"
        if not is_ended:
            text.skip()
            text.next_letter()
    text.skip()
    if text.next_letter():
        raise text.error("Extra data")


class _Decoder(json.JSONDecoder):
    """A decoder that notes keys which stand twice in one object, with different values."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._record_of)
        self._duplicate: tuple[str, object] = ("", None)

    def take_duplicate(self) -> tuple[str, object]:
        """A key that stands twice, and its object; the outermost: no other one can have been lost with what it stands in."""
        duplicate, self._duplicate = self._duplicate, ("", None)
        return duplicate

    def _record_of(self, key_value_pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(key_value_pairs)
        if len(record) < len(key_value_pairs):
            for key, key_value in key_value_pairs:
                if record[key] != key_value:
                    self._duplicate = key, record
        return record


class _ListText:
    """The text of a list, as far as it has been read and not yet parsed."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._file, self._where = file, where
        self._unicode = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = _Decoder()
        self._bytes_read = 0
        self._text, self._position, self._is_at_end = "", 0, False
        self._lines_before, self._letters_before = 0, 0
        """Lines before the text, and letters of its first line before it."""

    def next_letter(self) -> str:
        """The next letter that is no blank; none at the end."""
        while True:
            blanks = _BLANKS.match(self._text, self._position)
            self._position = blanks.end() if blanks else self._position
            if self._position < len(self._text):
                return self._text[self._position]
            if self._is_at_end:
                return ""
            self._read_on()

    def skip(self) -> None:
        self._position += 1

    def element(self, element_number: int) -> Any | InputError:
        """The element that begins here."""
        element_value = self._decoded()
        twice_key, outermost_record = self._decoder.take_duplicate()
        if outermost_record is None:
            return element_value
        place = _location_of(outermost_record, {f"record {element_number}": element_value}, "", twice_key)
        return _stands_twice(twice_key, self._where + place)

    def error(self, message: str, position: int | None = None) -> InputError:
        """An error at a place of the text."""
        position = self._position if position is None else position
        last_break = self._text.rfind("\n", 0, position)
        letters_before = self._letters_before if last_break < 0 else 0
        line_number = self._lines_before + self._text.count("\n", 0, position) + 1
        return _not_json(message, self._where, line_number, position - last_break + letters_before)

    def _decoded(self) -> Any:
        while True:
            self._decoder.take_duplicate()
            try:
                element_value, end = self._decoder.raw_decode(self._text, self._position)
                if self._is_at_end or (end < len(self._text) and self._text[end] not in IN_NUMBERS):
                    self._position = end
                    return element_value
            except json.JSONDecodeError as error:
                if self._is_at_end:
                    raise self.error(error.msg, error.pos) from None
            except (RecursionError, ValueError):
                message = "JSON that is nested too deeply, or has a number without end"
                raise InputError(message, where=self._where, hint=HINT) from None
            if len(self._text) - self._position > MAX_ELEMENT:
                raise self.error(f"no end of an element within {MAX_ELEMENT >> 20} MB")
            self._read_on()

    def _read_on(self) -> None:
        """Read more: as much as there is already, so that a long element is not tried again for each piece of it."""
        parsed_text = self._text[: self._position]
        line_breaks = parsed_text.count("\n")
        letters_of_line = len(parsed_text) - (parsed_text.rfind("\n") + 1)
        self._letters_before = letters_of_line if line_breaks else self._letters_before + letters_of_line
        self._lines_before += line_breaks
        self._text, self._position = self._text[self._position :], 0
        new_bytes = self._file.read(max(CHUNK, len(self._text)))
        self._bytes_read += len(new_bytes)
        self._is_at_end = not new_bytes
        try:
            self._text += self._unicode.decode(new_bytes, self._is_at_end)
        except UnicodeDecodeError as error:
            place = f"{self._where}: byte {self._bytes_read - len(error.object) + error.start}"
            raise InputError(f"not UTF-8: {error.reason}", where=place, hint="convert the file to UTF-8") from None


def _not_json(message: str, where: str, line_number: int, column: int) -> InputError:
    place = where if line_number == 1 else f"{where}, line {line_number}"
    return InputError(f"not JSON: {message.lower()} at column {column}", where=place, hint=HINT)


def _stands_twice(twice_key: str, where: str) -> InputError:
    message = f"the key {twice_key[:MAX_KEY]!r} stands twice in one object, with different values"
    return InputError(message, where=where, hint="keep the one that is right; an object of JSON has each key once")


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
