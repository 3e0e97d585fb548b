"""Annotation files as questions, each with its place: the one way from a format's files to what is kept of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.sources.checking import fault_of_length
from dmforge.curation.sources.contract import Beside, Format, Question, Raw, Refused
from dmforge.curation.sources.files import MEND, raw_records
from dmforge.curation.sources.formats import FORMATS
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import MAX_CS
from dmforge.schemas.text_limits import MAX_NAME_CHARS

STRUCTURE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
"""What a format's function raises where a record is not built as it expects."""
MAX_FAULT = 200
JSON_KINDS: dict[type, str] = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false",
                               type(None): "null"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placed:
    """A question, or why there is none, and where it stands."""

    origin: str
    """File and row."""
    asked: Question | Refused


def read_questions(form: Format, files: Sequence[Path]) -> Iterator[Placed]:
    """Everything that files ask, in their order. Files that go with others are told by what they are."""
    beside, annotations = _sorted_out(form, files)
    for file in annotations:
        yield from _of_file(form, file, beside)


def _sorted_out(form: Format, files: Sequence[Path]) -> tuple[Beside, list[Path]]:
    if form.companion is None:
        return {}, list(files)
    beside: dict[str, Any] = {}
    annotations: list[Path] = []
    for file in files:
        try:
            told = form.companion(file) if file.is_file() else None
        except STRUCTURE as error:
            told = f"{form.name} can't read it beside its annotations: {_fault_of(error)}"
            raise InputError(told, where=str(file), mend=MEND) from None
        except OSError as error:
            raise InputError(f"can't be read: {error.strerror}", where=str(file), mend=MEND) from None
        if told is None:
            annotations.append(file)
        else:
            beside |= told
    if not annotations:
        raise InputError(f"no annotations of {form.name} among these files", where="FILE", mend=f"give {form.about}")
    return beside, annotations


def _of_file(form: Format, file: Path, beside: Beside) -> Iterator[Placed]:
    try:
        records = raw_records(file, form)
        first = next(records, None)
        if first is None:
            raise InputError("there is nothing in this file", where=str(file), mend=MEND)
        _refuse_others(form, f"{file}:{first[0]}", first[1], beside)
    except InputError as error:
        raise _with_guess(error, form, file) from None
    if form.needs_companion and not beside:
        missing = f"{form.needs_companion} is not among these files, and {form.name} has its windows there"
        mend = f"give it as well: dmforge import {form.name} {file} {form.needs_companion}"
        raise InputError(missing, where=str(file), mend=mend)
    for row, record in itertools.chain([first], records):
        origin = f"{file.name}:{row}"
        try:
            asked = list(_sound(form.questions(record, beside))) if form.keys <= record.keys() else None
        except STRUCTURE:
            asked = None
        for question in asked if asked is not None else [Refused("", "malformed row")]:
            yield Placed(origin, _bounded(question))


def _sound(asked: Iterable[Question | Refused]) -> Iterator[Question | Refused]:
    """Questions whose texts are texts that can be stored, and whose numbers are numbers: a record can hold anything."""
    for one in asked:
        texts = [one.video, one.reason] if isinstance(one, Refused) else [one.video, one.question, one.answer, one.reply]
        if isinstance(one, Question):
            texts += one.options
            numbers: list[Any] = [time for window in one.windows for time in window]
            numbers += [number for number in (one.duration_s, one.fps) if number is not None]
            if not all(isinstance(number, int | float) for number in numbers) or not abs(one.duration_s or 0) < MAX_CS:
                raise TypeError("a time that is no number")
        for text in texts:
            text.encode()  # JSON can hold halves of letters, and a row can't
        yield one


def _bounded(asked: Question | Refused) -> Question | Refused:
    """The same, unless a text is too long: that one is not even written down."""
    fault = fault_of_length(Question(asked.video, "open", "") if isinstance(asked, Refused) else asked)
    return Refused(asked.video[:MAX_NAME_CHARS], fault) if fault else asked


def _refuse_others(form: Format, where: str, record: Any, beside: Beside) -> None:
    """The first record tells whether this is such a file at all."""
    if not isinstance(record, dict):
        kind = JSON_KINDS.get(type(record), "no object")
        told = f"not {form.name}: the first record is {kind}, and an object is wanted, {form.about}"
        raise InputError(told, where=where, mend=MEND)
    try:
        missing = sorted(form.keys - record.keys())
        if missing:
            raise InputError(f"not {form.name}: no {missing[0]!r} in the first record", where=where, mend=MEND)
        list(_sound(form.questions(record, beside)))
    except STRUCTURE as error:
        told = f"not {form.name}: the first record is not like {form.about}: {_fault_of(error)}"
        raise InputError(told, where=where, mend=MEND) from None


def _fault_of(error: Exception) -> str:
    """What a record has otherwise than a format's function expects, without the names that Python has for it."""
    if isinstance(error, KeyError):
        return f"no {error.args[0]!r}"
    if isinstance(error, UnicodeError):
        return "not UTF-8"
    if isinstance(error, ValueError):
        return str(error)[:MAX_FAULT]
    return "a field is of another kind"


def _with_guess(error: InputError, form: Format, file: Path) -> InputError:
    guess = guessed(file, other_than=form.name) if file.is_file() else None
    if guess is None:
        return error
    return InputError(error.what, where=error.where, mend=f"it looks like {guess}: dmforge import {guess} ...")


def guessed(file: Path, other_than: str) -> str | None:
    """The format that a file looks like: the one that wants most of what its first record has."""
    fitting: list[tuple[int, str]] = []
    for form in FORMATS.values():
        if form.name in (other_than, "ids"):
            continue
        try:
            record: Raw | None = next((record for _, record in raw_records(file, form)), None)
            if record is not None and form.keys <= record.keys() and any(True for _ in form.questions(record, {})):
                fitting.append((len(form.keys), form.name))
        except (InputError, OSError, *STRUCTURE):
            continue
    return max(fitting)[1] if fitting else None
