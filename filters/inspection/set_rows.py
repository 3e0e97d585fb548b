"""The rows of a released set: each a question, or why it is none, with its trajectory where it has one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dmforge.curation.exports.read_back import WrittenRecord, read_row, read_written
from dmforge.curation.sources.annotation_files import placed_message
from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, RefusedQuestion
from dmforge.curation.sources.annotation_reader import RecordQuestions, survey_records
from dmforge.curation.sources.formats.conversations import tagged_answer
from dmforge.curation.sources.published_turns import dialect_of_turn
from dmforge.filters.inspection.set_files import ReleasedSet, SetFile
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.looks import Window, read_span
from dmforge.schemas.tags import OPEN

ABOUT_CLIPS = frozenset({"several videos", "not a video"})
"""Why an import refuses rows that list the clips of looks as further videos, or among the words, as exports for trainers do."""
TRAJECTORY_KEYS = frozenset({"pieces", "conversations", "messages", "completion", "gt_span_start", "target_window"})
"""Keys of rows that may hold a trajectory or a target which their importer leaves aside."""
NOTHING = "neither a trajectory nor a task"


@dataclass(frozen=True, slots=True)
class SetRow:
    """A question of a set, as its file words it."""

    file: int
    """The number of its file."""
    place: str
    question: Question | RefusedQuestion
    written: WrittenRecord | None = None
    """Its trajectory, or a task with the look that is its target."""


def read_set(released_set: ReleasedSet) -> Iterator[SetRow]:
    """All rows of a set, file by file. What can't be read is a row, too."""
    for file_number, set_file in enumerate(released_set.files):
        if set_file.form is None:
            yield from _written_rows(file_number, set_file)
        else:
            companions = released_set.companions.get(set_file.form.name, {})
            yield from _annotation_rows(file_number, set_file, set_file.form, companions)


def _annotation_rows(file_number: int, set_file: SetFile, form: AnnotationFormat, companions: Companions) -> Iterator[SetRow]:
    if form.needs_companion and not companions:
        reason = f"{form.needs_companion} is not among the files, and {form.name} has its windows there"
        yield SetRow(file_number, "", RefusedQuestion("", reason))
        return
    for record in survey_records(form, set_file.path, companions):
        record_name = f"{set_file.name}:{record.place}"
        if len(record.questions) == 1:
            question, written = _with_trajectory(record, record_name)
            yield SetRow(file_number, record.place, question, written)
        else:
            for number, question in enumerate(record.questions, 1):
                yield SetRow(file_number, f"{record.place}.{number}", question, _written_reply(question, record_name))


def _written_rows(file_number: int, set_file: SetFile) -> Iterator[SetRow]:
    """The rows of shards, and of exports that no importer reads."""
    records = read_written(set_file.path)
    while True:
        try:
            record = next(records)
        except StopIteration:
            return
        except DmforgeError as error:  # nothing follows
            yield SetRow(file_number, "", RefusedQuestion("", placed_message(error, set_file.path)))
            return
        place = record.record.removeprefix(f"{set_file.path.name}:")
        if record.fault or not record.prompt:
            yield SetRow(file_number, place, RefusedQuestion(record.video, record.fault or NOTHING))
        else:
            yield SetRow(file_number, place, question_of(record), record)


def _with_trajectory(record: RecordQuestions, record_name: str) -> tuple[Question | RefusedQuestion, WrittenRecord | None]:
    """The one question of a record, with the trajectory that its importer reads, or else the one that `lint` reads."""
    (question,) = record.questions
    written = _written_reply(question, record_name)
    is_refused = isinstance(question, RefusedQuestion)
    if written is not None or (is_refused and question.reason not in ABOUT_CLIPS) or not _may_have_trajectory(record.record):
        return question, written
    written = read_row(record.record, record_name)
    if written is None or not (_has_looks(written.text) or (written.targets and not is_refused)):
        return question, None
    return (replace(question_of(written), video=question.video) if is_refused else question), written


def _written_reply(question: Question | RefusedQuestion, record_name: str) -> WrittenRecord | None:
    if isinstance(question, RefusedQuestion) or not question.reply:
        return None
    return WrittenRecord(record_name, question.question, question.reply, question.kind, question.question, question.options)


def question_of(record: WrittenRecord) -> Question:
    """The question of a record; the answer of a conversation is what the assistant says."""
    return Question(
        record.video, record.kind, record.question, record.gold or tagged_answer(record.text) or "", record.options,
        tuple(map(_bounds_s, record.windows or _answered_windows(record))), record.needs,
        None if record.duration_cs is None else record.duration_cs / 100,
    )  # fmt: skip


def _may_have_trajectory(record: Any) -> bool:
    return isinstance(record, Mapping) and not TRAJECTORY_KEYS.isdisjoint(record)  # pyright: ignore[reportUnknownArgumentType]


def _has_looks(text: str) -> bool:
    return OPEN["span"] in text or dialect_of_turn(text) is not None


def _answered_windows(record: WrittenRecord) -> tuple[Window, ...]:
    """The window that the answer to a grounding question is, where nothing else says one."""
    bounds_cs = read_span((tagged_answer(record.text) or "").strip()) if record.kind == "grounding" else None
    return (Window(*bounds_cs),) if bounds_cs and bounds_cs[0] < bounds_cs[1] else ()


def _bounds_s(window: Window) -> tuple[float, float]:
    return window.start_cs / 100, window.end_cs / 100
