"""A reader of annotation files: it gives their questions, each with its file and row. All imports go through it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dmforge.curation.sources.annotation_files import placed_message, raw_records, readable_records
from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, RefusedQuestion
from dmforge.curation.sources.format_detection import STRUCTURE, detect_format
from dmforge.curation.sources.strict_json import HINT
from dmforge.curation.sources.task_checks import fault_of_length
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import MAX_CS
from dmforge.schemas.text_limits import MAX_NAME_CHARS

MAX_FAULT, MAX_FIELD = 200, 40
MALFORMED = "malformed row"
JSON_KINDS: dict[type, str] = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false",
                               type(None): "null"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlacedQuestion:
    """A question, or why there is none, with its file and row."""

    origin: str
    """File and row."""
    question: Question | RefusedQuestion


@dataclass(frozen=True, slots=True)
class RecordQuestions:
    """A record of a file, with its questions, or with one refusal that says why it has none."""

    place: str
    """In its file; empty where the rest of the file can't be read."""
    record: Any
    """None where it can't be read."""
    questions: tuple[Question | RefusedQuestion, ...]


def read_questions(form: AnnotationFormat, files: Sequence[Path]) -> Iterator[PlacedQuestion]:
    """All questions of files, in their order. Companion files are recognised by their content."""
    companion_values, annotation_paths = _split_companions(form, files)
    for annotation_path in annotation_paths:
        yield from _read_file(form, annotation_path, companion_values)


def survey_records(form: AnnotationFormat, file: Path, companions: Companions) -> Iterator[RecordQuestions]:
    """All records of a file, also of one that an import would refuse: what can't be read is a record without questions."""
    placed_records = readable_records(file, form)
    while True:
        try:
            record_place, record = next(placed_records)
        except StopIteration:
            return
        except InputError as error:  # nothing follows
            yield RecordQuestions("", None, (RefusedQuestion("", placed_message(error, file)),))
            return
        if isinstance(record, InputError):
            yield RecordQuestions(record_place, None, (RefusedQuestion("", record.message),))
        else:
            yield RecordQuestions(record_place, record, _questions_of(form, record, companions))


def _split_companions(form: AnnotationFormat, files: Sequence[Path]) -> tuple[Companions, list[Path]]:
    if form.companion is None:
        return {}, list(files)
    companion_values: dict[str, Any] = {}
    annotation_paths: list[Path] = []
    for annotation_path in files:
        companion_entries = read_companion(form, annotation_path)
        if companion_entries is None:
            annotation_paths.append(annotation_path)
        else:
            companion_values |= companion_entries
    if not annotation_paths:
        raise InputError(f"no annotations of {form.name} among these files", where="FILE", hint=f"give {form.about}")
    return companion_values, annotation_paths


def read_companion(form: AnnotationFormat, file: Path) -> Companions | None:
    """What a companion file of a format says; None where it is none."""
    try:
        return form.companion(file) if form.companion is not None and file.is_file() else None
    except STRUCTURE as error:
        message = f"{form.name} can't read it beside its annotations: {_describe_error(error)}"
        raise InputError(message, where=str(file), hint=HINT) from None
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=str(file), hint=HINT) from None


def _read_file(form: AnnotationFormat, file: Path, companions: Companions) -> Iterator[PlacedQuestion]:
    try:
        placed_records = raw_records(file, form)
        first_record = next(placed_records, None)
        if first_record is None:
            raise InputError("there is nothing in this file", where=str(file), hint=HINT)
        _check_first_record(form, f"{file}:{first_record[0]}", first_record[1], companions)
    except InputError as error:
        raise _with_guess(error, form, file) from None
    if form.needs_companion and not companions:
        missing_companion = f"{form.needs_companion} is not among these files, and {form.name} has its windows there"
        hint = f"give it as well: dmforge import {form.name} {file} {form.needs_companion}"
        raise InputError(missing_companion, where=str(file), hint=hint)
    for row_place, record in itertools.chain([first_record], placed_records):
        for question in _questions_of(form, record, companions):
            yield PlacedQuestion(f"{file.name}:{row_place}", question)


def _questions_of(form: AnnotationFormat, record: Any, companions: Companions) -> tuple[Question | RefusedQuestion, ...]:
    try:
        if form.keys <= record.keys():
            return tuple(map(_within_limits, _checked_types(form.questions(record, companions))))
    except STRUCTURE:
        pass
    return (RefusedQuestion("", f"{MALFORMED}: {_field_at_fault(form, record, companions)}"),)


class _ReadRecord(dict[str, Any]):
    """A record that notes which of its fields was read last: what fails then fails over that one."""

    last_read = ""

    def __getitem__(self, key: str) -> Any:
        self.last_read = key
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.last_read = key
        return super().get(key, default)


def _field_at_fault(form: AnnotationFormat, record: Any, companions: Companions) -> str:
    """What is wrong with a record that can't be read: the field, and no value, since reasons are counted."""
    if not isinstance(record, dict):
        return f"{JSON_KINDS.get(type(record), 'no object')}, and an object is wanted"
    read_record = _ReadRecord(record)
    missing_keys = sorted(form.keys - read_record.keys())
    if missing_keys:
        return f"no {missing_keys[0]!r}"
    try:
        for question in form.questions(read_record, companions):
            read_record.last_read = _part_at_fault(question) or read_record.last_read
    except STRUCTURE as error:
        if isinstance(error, KeyError) and read_record.last_read not in record:
            return f"no {read_record.last_read[:MAX_FIELD]!r}"
    return f"{read_record.last_read[:MAX_FIELD]!r} is not as {form.name} has it"


def _part_at_fault(question: Question | RefusedQuestion) -> str:
    """The part of a question that can't be stored."""
    if isinstance(question, RefusedQuestion):
        return ""
    for part in ("video", "question", "answer", "reply", "options", "windows", "duration_s", "fps"):
        try:
            list(_checked_types([replace(Question("", "open", ""), **{part: getattr(question, part)})]))
        except STRUCTURE:
            return part
    return ""


def _checked_types(questions: Iterable[Question | RefusedQuestion]) -> Iterator[Question | RefusedQuestion]:
    """The same questions, once their texts can be stored and their numbers are numbers: a record can hold anything."""
    for question in questions:
        question_texts = (
            [question.video, question.reason]
            if isinstance(question, RefusedQuestion)
            else [question.video, question.question, question.answer, question.reply]
        )
        if isinstance(question, Question):
            question_texts += question.options
            question_numbers: list[Any] = [time_s for window in question.windows for time_s in window]
            question_numbers += [
                duration_or_fps for duration_or_fps in (question.duration_s, question.fps) if duration_or_fps is not None
            ]
            if (
                not all(isinstance(question_number, int | float) for question_number in question_numbers)
                or not abs(question.duration_s or 0) < MAX_CS
            ):
                raise TypeError("a time is not a number")
        for question_text in question_texts:
            question_text.encode()  # JSON can hold halves of letters, and a row can't
        yield question


def _within_limits(question: Question | RefusedQuestion) -> Question | RefusedQuestion:
    """The same question, unless a text of it is too long: then a refusal, so that the text is not even stored."""
    length_fault = fault_of_length(Question(question.video, "open", "") if isinstance(question, RefusedQuestion) else question)
    return RefusedQuestion(question.video[:MAX_NAME_CHARS], length_fault) if length_fault else question


def _check_first_record(form: AnnotationFormat, where: str, first_record: Any, companions: Companions) -> None:
    """Raise an error if the first record shows that a file is not of this format."""
    if not isinstance(first_record, dict):
        json_kind = JSON_KINDS.get(type(first_record), "no object")
        message = f"not {form.name}: the first record is {json_kind}, and an object is wanted, {form.about}"
        raise InputError(message, where=where, hint=HINT)
    try:
        missing_keys = sorted(form.keys - first_record.keys())
        if missing_keys:
            raise InputError(f"not {form.name}: no {missing_keys[0]!r} in the first record", where=where, hint=HINT)
        list(_checked_types(form.questions(first_record, companions)))
    except STRUCTURE as error:
        fault = _describe_error(error)
        if not isinstance(error, KeyError):
            fault = f"{_field_at_fault(form, first_record, companions)}: {fault}"
        message = f"not {form.name}: the first record is not like {form.about}: {fault}"
        raise InputError(message, where=where, hint=HINT) from None


def _describe_error(error: Exception) -> str:
    """A message for a record that is not as a format's function expects, without Python's words for it."""
    if isinstance(error, KeyError):
        return f"no {error.args[0]!r}"
    if isinstance(error, UnicodeError):
        return "not UTF-8"
    if isinstance(error, ValueError):
        return str(error)[:MAX_FAULT]
    return "a field is of another kind"


def _with_guess(error: InputError, form: AnnotationFormat, file: Path) -> InputError:
    guessed_format = detect_format(file, other_than=form.name) if file.is_file() else None
    if guessed_format is None:
        return error
    hint = f"it looks like {guessed_format.name}: dmforge import {guessed_format.name} ..."
    return InputError(error.message, where=error.where, hint=hint)
