"""The annotations of a workspace: every question that was imported, in `inputs/annotations/`, with the id of its video.

Names are resolved once, when a file is imported: videos that come later can't make a name mean something else. The same file
imported again replaces its earlier questions, so videos that were missing then are looked for again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

from dmforge.curation.io.atomic import disk_errors, sync_folder, write_bytes, writing
from dmforge.curation.io.batching import batched
from dmforge.curation.io.locations import sha256_of
from dmforge.curation.io.sealed_json import sealed, unsealed
from dmforge.curation.sources.annotation_format import AnnotationFormat, Question, RefusedQuestion
from dmforge.curation.sources.annotation_reader import PlacedQuestion
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest, read, show
from dmforge.schemas.record_fields import aside, later
from dmforge.schemas.records import Record
from dmforge.schemas.units import Index

MISSING = "missing file"
AMBIGUOUS = "several files of this name"
CLAIMED = ("source", "licence", "terms", "namespace", "split")
NUMBER = "import_number"
ANNOTATIONS = "annotations"
"""The folder under `inputs/`; benchmarks have one of their own."""
SEAL_CHARS = 32
SEALED_END = len(', ""]\n') + SEAL_CHARS
"""What stands behind the sealed texts of a line."""
SPOOLED_BYTES = 64 << 20
"""Lines that are in memory until it is known how many there are; more are on the disk meanwhile."""
QUESTIONS_AT_ONCE = 10_000
"""How many questions become lines at once."""
Find = Callable[[str], Id | str]
"""A look-up of a video by name: its id, or why there is none, `MISSING` or `AMBIGUOUS`."""


@dataclass(frozen=True, slots=True)
class AnnotationRow(Record):
    """A question of an annotation file."""

    kind = "row"
    table = "rows"

    video: Id
    """Where none was found, an id that no video has."""
    said: str
    """The question as JSON, or why there is none."""
    source: str
    """The data set that the file is from, as who brought it says; so with the next four."""
    licence: str
    """What its questions may be used under."""
    terms: str
    """Conditions beside the licence."""
    namespace: str
    """Whose ids the videos' names are."""
    split: str
    """Which split of the data set the file is."""
    origin: str = aside("")
    """The file and the row in it."""
    import_number: Index = later(0, since=2)
    """Which import of the workspace it came with, from 1 on; 0 in those of earlier versions."""


@dataclass(frozen=True, slots=True)
class ImportedFiles:
    """Files of one format that were imported together."""

    form: AnnotationFormat
    files: tuple[Path, ...]
    folder: str = ANNOTATIONS

    def path(self, workspace: WorkspaceFolder) -> Path:
        """The file for their questions, named by a digest of their contents."""
        file_name = digest("brought", [self.form.name, [sha256_of(annotation_file) for annotation_file in self.files]]).hex()
        return workspace.inputs / self.folder / f"{file_name}.jsonl"


@dataclass(frozen=True, slots=True)
class ImportedRows:
    """What files gave when they were imported."""

    ids: Sequence[Id]
    """Of their rows, in the order of the file."""
    missing_names: Counter[str]
    """The names of videos that they were about and that weren't there, with their questions."""


def store_questions(
    workspace: WorkspaceFolder,
    annotation_files: ImportedFiles,
    questions: Iterator[PlacedQuestion],
    find: Find | None,
    source_info: SourceInfo,
) -> None:
    """Write the questions of files into the workspace, all or none. Without `find`, no video is looked for."""
    stored_path, line_count = annotation_files.path(workspace), 0
    import_number = _import_number(workspace, stored_path)
    with SpooledTemporaryFile(SPOOLED_BYTES) as spool, writing(stored_path) as stored_file:
        for question_chunk in batched(questions, QUESTIONS_AT_ONCE):
            spool.write("".join(_to_line(placed_question, find) for placed_question in question_chunk).encode("ascii"))
            line_count += len(question_chunk)
        header_claims = {name: getattr(source_info, name) for name in CLAIMED}
        stored_file.write(_header_line(header_claims | {NUMBER: import_number}, line_count))
        spool.seek(0)
        shutil.copyfileobj(spool, stored_file)
    sync_folder(stored_path.parent)


def all_rows(workspace: WorkspaceFolder, folder: str = ANNOTATIONS) -> Iterator[AnnotationRow]:
    """Every question that was imported."""
    for stored_path in _annotation_paths(workspace, folder):
        yield from _rows_of(stored_path)


def imported_rows(workspace: WorkspaceFolder, annotation_files: ImportedFiles) -> ImportedRows:
    """The rows that some files gave when they were imported."""
    row_ids, missing_names = list[Id](), Counter[str]()
    for annotation_row in _rows_of(annotation_files.path(workspace)):
        row_ids.append(annotation_row.id)
        if MISSING in annotation_row.said:  # few have to be read
            question = read_question(annotation_row.said)
            if isinstance(question, RefusedQuestion) and question.reason == MISSING:
                missing_names[question.video] += 1
    return ImportedRows(row_ids, missing_names)


def _rows_of(stored_path: Path) -> Iterator[AnnotationRow]:
    """The rows of one file; an error where it has other lines than were written."""
    line_number = 1
    with disk_errors(stored_path), stored_path.open("rb") as annotation_lines:
        header_claims, line_count = _parse_header(next(annotation_lines, b"{}"), f"{stored_path}:1")
        for line_number, annotation_line in enumerate(annotation_lines, 2):
            video_id, row_origin, question_json = _parse_line(annotation_line, f"{stored_path}:{line_number}")
            yield AnnotationRow(video_id, question_json, origin=row_origin, **header_claims)
    if line_count is not None and line_number - 1 != line_count:
        message = f"{line_number - 1} lines are left of {line_count}"
        hint = "restore the file, or import it again; who took lines out deletes `lines` and `seal` from its first line"
        raise InputError(message, where=f"{stored_path}:1", hint=hint)


def source_version(workspace: WorkspaceFolder, folder: str = ANNOTATIONS) -> str:
    """A digest of the contents of the files."""
    return digest(
        folder, [[stored_path.name, sha256_of(stored_path)] for stored_path in _annotation_paths(workspace, folder)]
    ).hex()


def forget_lines(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """Remove the questions about some videos; how many there were."""
    removed_count = 0
    for stored_path, all_lines, kept_lines in _without_lines_about(workspace, videos):
        if len(kept_lines) < len(all_lines):
            removed_count += len(all_lines) - len(kept_lines)
            header_claims, line_count = _parse_header(kept_lines[0], f"{stored_path}:1")
            if line_count is not None:
                kept_lines[0] = _header_line(header_claims, len(kept_lines) - 1)
            write_bytes(stored_path, b"".join(kept_lines))
    return removed_count


def count_lines(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """How many questions are about some videos."""
    return sum(len(all_lines) - len(kept_lines) for _, all_lines, kept_lines in _without_lines_about(workspace, videos))


def _without_lines_about(workspace: WorkspaceFolder, videos: Collection[Id]) -> Iterator[tuple[Path, list[bytes], list[bytes]]]:
    """Each file with all of its lines, and with those that are not about these videos."""
    line_starts = tuple(f'["{show("video", video)}", '.encode() for video in videos)
    for stored_path in _annotation_paths(workspace, ANNOTATIONS):
        with disk_errors(stored_path):
            all_lines = stored_path.read_bytes().splitlines(keepends=True)
        yield (
            stored_path,
            all_lines,
            [annotation_line for annotation_line in all_lines if not annotation_line.startswith(line_starts)],
        )


def take_over_files(workspace: WorkspaceFolder, other_workspace: WorkspaceFolder) -> int:
    """Copy the annotations of another workspace, benchmarks too; how many files were new.

    Of a file that both have, questions whose video is missing here are replaced by those whose video was found there.
    """
    new_file_count = 0
    for other_path in sorted(other_workspace.inputs.glob("*/*.jsonl")):
        own_path = workspace.inputs / other_path.relative_to(other_workspace.inputs)
        with disk_errors(other_path):
            new_content = other_path.read_bytes()
        if own_path.exists():
            own_content = own_path.read_bytes()
            new_content = (
                own_content
                if own_path.parent.name != ANNOTATIONS
                else _with_found_videos(own_content, new_content, str(own_path))
            )
            if new_content == own_content:
                continue
        else:
            new_file_count += 1
        write_bytes(own_path, new_content)
    return new_file_count


def _with_found_videos(own_content: bytes, other_content: bytes, where: str) -> bytes:
    """The own lines, with the other ones in place of those whose video is missing."""
    header_line, *own_lines = own_content.splitlines(keepends=True)
    other_lines = {
        _parse_line(annotation_line, where)[1]: annotation_line
        for annotation_line in other_content.splitlines(keepends=True)[1:]
    }

    def preferred(own_line: bytes) -> bytes:
        _, row_origin, question_json = _parse_line(own_line, where)
        return other_lines.get(row_origin, own_line) if json.loads(question_json).get("reason") == MISSING else own_line

    return b"".join([header_line, *map(preferred, own_lines)])


def read_question(question_json: str) -> Question | RefusedQuestion:
    """The question in a row, or why there is none."""
    question_values: dict[str, Any] = json.loads(question_json)
    if "reason" in question_values:
        return RefusedQuestion(question_values["video"], question_values["reason"])
    windows = tuple((start_s, end_s) for start_s, end_s in question_values.pop("windows", ()))
    tuple_by_field = {field_name: tuple(question_values.pop(field_name, ())) for field_name in ("options", "flags")}
    return Question(windows=windows, **tuple_by_field, **question_values)


def _to_line(placed_question: PlacedQuestion, find: Find | None) -> str:
    question = placed_question.question
    if isinstance(question, RefusedQuestion):
        # with its row: those that are the same otherwise are counted nevertheless
        video_or_reason, question_values = (
            None,
            {"video": question.video, "reason": question.reason, "row": placed_question.origin},
        )
    else:
        video_or_reason = find(question.video) if find else None
        question_values = _payload_of(question) | ({"reason": video_or_reason} if isinstance(video_or_reason, str) else {})
    printed_video = _printed_id(video_or_reason) if isinstance(video_or_reason, bytes) else _printed_absent_id(question.video)
    texts_json = json.dumps([printed_video, placed_question.origin, json.dumps(question_values)])
    return f'{texts_json[:-1]}, "{_seal_of(texts_json.encode("ascii"))}"]\n'


def _seal_of(texts_json: bytes) -> str:
    """What shows that a line is as it was written: of the list of its other texts. Lines of earlier versions have none."""
    return hashlib.sha256(texts_json).hexdigest()[:SEAL_CHARS]


def _payload_of(question: Question) -> dict[str, Any]:
    """The fields of a question that differ from their defaults, to be stored."""
    question_values: dict[str, Any] = {"video": question.video, "kind": question.kind, "question": question.question}
    for field_name in ("answer", "options", "windows", "duration_s", "segment_s", "flags", "reply", "fps", "extras"):
        field_value = getattr(question, field_name)
        if field_value not in ("", (), None, {}) and (field_name, field_value) != ("segment_s", 0.0):
            question_values[field_name] = field_value
    if question.needs != "any":
        question_values["needs"] = question.needs
    return question_values


def _parse_line(line: bytes, where: str) -> tuple[Id, str, str]:
    try:
        printed_video, row_origin, question_json, *seal = json.loads(line)
        # the bytes before the seal are those that were sealed, save in a file that another program has spaced anew
        if seal and seal != [_seal_of(line[:-SEALED_END] + b"]")]:
            texts_json = json.dumps([printed_video, row_origin, question_json])
            if seal != [_seal_of(texts_json.encode("ascii"))]:
                raise ValueError("it was changed after it was written")
        if not isinstance(row_origin, str) or not isinstance(question_json, str):
            raise TypeError("a line must hold three texts")
        return _parse_id(printed_video), row_origin, question_json
    except (ValueError, TypeError, AttributeError, RecursionError, InputError) as error:
        hint = "delete the file, and import the annotations again"
        raise InputError(f"no annotation: {error}", where=where, hint=hint) from None


@lru_cache(1 << 16)  # many questions are about one video
def _printed_id(video: Id) -> str:
    return show("video", video)


@lru_cache(1 << 16)
def _printed_absent_id(video_name: str) -> str:
    """An id that no video has, for those that are not there."""
    return show("video", digest("no video", video_name))


@lru_cache(1 << 16)
def _parse_id(printed_video: str) -> Id:
    return read(printed_video)[1]


def _import_number(workspace: WorkspaceFolder, stored_path: Path) -> int:
    """The number of an import: that which the same files had before, else the next one. By it, what stands first stays."""
    number_by_path = dict[Path, int]()
    for other_path in _annotation_paths(workspace, stored_path.parent.name):
        with disk_errors(other_path), other_path.open("rb") as annotation_lines:
            header_claims, _ = _parse_header(next(annotation_lines, b"{}"), f"{other_path}:1")
        number_by_path[other_path] = header_claims[NUMBER]
    return number_by_path.get(stored_path, 1 + max(number_by_path.values(), default=0))


def _header_line(claims: Mapping[str, object], line_count: int) -> bytes:
    """The first line of a file: what is claimed of its questions, and how many there are."""
    return (json.dumps(sealed({**claims, "lines": line_count})) + "\n").encode()


def _parse_header(header_line: bytes, where: str) -> tuple[dict[str, Any], int | None]:
    """What is claimed of a file's questions, and how many there are; None in files of earlier versions."""
    try:
        header_values = unsealed(json.loads(header_line))
        header_claims: dict[str, Any] = {claim_name: str(header_values[claim_name]) for claim_name in CLAIMED}
        return header_claims | {NUMBER: int(header_values.get(NUMBER, 0))}, header_values.get("lines")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        hint = "delete the file, and import the annotations again"
        raise InputError(f"no annotations: {error}", where=where, hint=hint) from None


def _annotation_paths(workspace: WorkspaceFolder, folder: str) -> list[Path]:
    return sorted((workspace.inputs / folder).glob("*.jsonl"))
