"""Ingests videos and imports annotations: records them in `inputs/`, runs the stages that read them, and counts results."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from rich.console import Console

from dmforge.commands import run
from dmforge.commands.import_counts import Imported
from dmforge.curation.io import locations
from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.io.plugins import PluginError
from dmforge.curation.io.terminal import Terminal
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources import annotations, videos
from dmforge.curation.sources.annotation_format import AnnotationFormat, RefusedQuestion
from dmforge.curation.sources.annotation_reader import read_questions
from dmforge.curation.sources.annotations import ImportedFiles
from dmforge.curation.sources.benchmark_references import FOLDER, Benchmarks, Reference
from dmforge.curation.sources.formats import all_formats, find_format
from dmforge.curation.sources.importing import UNUSABLE, Import
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.sources.takedowns import forgotten_videos
from dmforge.curation.sources.task_checks import CheckedTask, check
from dmforge.curation.sources.video_names import VideoFinder
from dmforge.curation.sources.videos import NO_CLAIMS
from dmforge.curation.video.ingest import Ingest
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, digest
from dmforge.schemas.record_fields import UNKNOWN
from dmforge.schemas.records import Task
from dmforge.schemas.visible import storable


@dataclass(frozen=True, slots=True)
class Ingested(CommandResult):
    """Counts of an ingest, by what became of the files."""

    ingested: int
    known: int
    quarantined: int
    pending: int
    deferred: dict[str, int]
    """The reasons for which files stay pending, with counts."""

    def as_json(self) -> dict[str, Any]:
        return {"ingested": self.ingested, "known": self.known, "quarantined": self.quarantined}

    def blocks(self) -> Iterator[Block]:
        yield ", ".join(f"{count} {count_name}" for count_name, count in self.as_json().items())


@dataclass(frozen=True, slots=True)
class FormatList(CommandResult):
    """The annotation formats that can be imported."""

    formats: tuple[AnnotationFormat, ...]
    left_out: tuple[PluginError, ...]
    """Plug-ins that can't be used, and why."""

    def as_json(self) -> list[dict[str, Any]]:
        return [{"format": form.name, "role": form.role, "about": form.about} for form in self.formats]

    def blocks(self) -> Iterator[Block]:
        format_rows = [
            [annotation_format.name, annotation_format.role, annotation_format.about] for annotation_format in self.formats
        ]
        yield TextTable(["format", "role", "what a file looks like"], format_rows)


def format_list() -> FormatList:
    """Every annotation format."""
    formats_and_errors = list(all_formats("import --list"))
    usable_formats = tuple(
        format_or_error for format_or_error in formats_and_errors if not isinstance(format_or_error, PluginError)
    )
    return FormatList(
        usable_formats,
        tuple(format_or_error for format_or_error in formats_and_errors if isinstance(format_or_error, PluginError)),
    )


def print_left_out(console: Terminal, where: str, registered: videos.RegisteredFiles, given_places: Sequence[str]) -> None:
    """Print which files were not registered, and why, so that nobody looks for them in the lake."""
    for unread_place, reason in registered.unread.items():
        console.print_line(f"{where}: {unread_place} can't be read, the other files are taken in: {reason}")
    if registered.copies:
        console.print_line(f"{where}: {registered.copies} files are copies of others, byte for byte; each video is taken once")
    count_by_suffix = locations.skipped_suffixes(given_places, videos.SUFFIXES)
    if count_by_suffix:
        suffix_counts_text = ", ".join(f"{count} {file_suffix}" for file_suffix, count in count_by_suffix.most_common())
        console.print_line(
            f"{where}: {count_by_suffix.total()} files are left out, they are not called like videos: {suffix_counts_text}"
        )


def ingest(
    workspace: WorkspaceFolder, console: Terminal, command: str, given_places: Sequence[str], claims: SourceInfo
) -> Ingested:
    """Ingest videos into the lake."""
    registered = add_videos(workspace, command, given_places, claims)
    print_left_out(console, "ingest", registered, given_places)
    *_, stage_report = run.run(workspace, console, command, Ingest.name)
    with _current(workspace) as view:
        new_outcomes = _outcomes(view, Ingest.name, "video", registered.new)
        known_outcomes = _outcomes(view, Ingest.name, "video", registered.known)
        example_by_reason = _examples(view, Ingest.name, "video", [*registered.new, *registered.known])
    path_by_video = {
        video.video: locations.without_secrets(storable(video.path)) for video in videos.listed(workspace).values()
    }
    for reason, (detail, video) in example_by_reason.items():
        example_path = "" if detail.startswith(path_by_video[video]) else path_by_video[video] + (": " if detail else "")
        console.print_line(f"ingest: quarantined: {reason}, as in {example_path}{detail}")
    statuses = Counter(status for status, _ in (new_outcomes + known_outcomes).elements())
    pending_count = len({*registered.new, *registered.known} - forgotten_videos(workspace)) - statuses.total()
    pending_count += len(registered.unread)
    return Ingested(
        new_outcomes["made", ""], len(registered.known), statuses["quarantined"], pending_count, stage_report.deferred
    )


def import_annotations(
    workspace: WorkspaceFolder,
    console: Console,
    command: str,
    form: str,
    files: Sequence[Path],
    folders: Sequence[Path],
    claims: SourceInfo,
) -> Imported:
    """Import annotation files into the lake, with the videos in some folders that they refer to; benchmarks as such."""
    imported_files = add_annotations(workspace, command, form, files, folders, claims)
    stage_name = Benchmarks.name if imported_files.folder == FOLDER else Import.name
    *_, stage_report = run.run(workspace, console, command, stage_name)
    imported_rows = annotations.imported_rows(workspace, imported_files)
    row_ids = imported_rows.ids
    with _current(workspace) as view:
        count_by_outcome = _outcomes(view, stage_name, "input", row_ids)
        made_table = Reference.table if imported_files.folder == FOLDER else Task.table
        made_count = _count_made(view, made_table, row_ids)
        count_by_flag = _count_flags(view, row_ids) if made_table == Task.table else {}
        detail_by_reason = {
            reason: detail + (_why_unusable(view, video) if reason == UNUSABLE else "")
            for reason, (detail, video) in _examples(view, stage_name, "input", row_ids).items()
        }
    count_by_rejection = {reason: count for (status, reason), count in sorted(count_by_outcome.items()) if status != "made"}
    pending_count = len(set(row_ids)) - sum(count_by_outcome.values())
    identical_count = len(row_ids) - made_count - sum(count_by_rejection.values()) - pending_count
    is_training = imported_files.folder == annotations.ANNOTATIONS  # of a benchmark no video is looked for
    return Imported(
        made_count, identical_count, count_by_flag, count_by_rejection, pending_count, stage_report.deferred, detail_by_reason,
        imported_rows.missing_names if is_training else {}, _namespace(imported_files.form, claims),
    )  # fmt: skip


def dry_import(form: str, files: Sequence[Path], folders: Sequence[Path], claims: SourceInfo = NO_CLAIMS) -> Imported:
    """Count what an import would find, as far as it can be told without videos. Writes nothing, and needs little memory."""
    finder = _finder_in_folders(folders) if folders else None
    question_hashes, flag_bits = array("Q"), array("Q")
    bit_by_flag, count_by_rejection, example_by_reason = dict[str, int](), Counter[str](), dict[str, str]()
    annotation_format, missing = find_format(form, "import"), Counter[str]()
    for placed_question in read_questions(annotation_format, files):
        question = placed_question.question
        checked_task = question if isinstance(question, RefusedQuestion) else check(question)
        refusal_reason = checked_task.reason if isinstance(checked_task, RefusedQuestion) else ""
        if not refusal_reason and finder is not None and len(finder.find(question.video)) != 1:
            refusal_reason = annotations.MISSING
            missing[question.video] += not finder.find(question.video)
        if refusal_reason:
            count_by_rejection[refusal_reason] += 1
            example_by_reason.setdefault(refusal_reason, f"{placed_question.origin}: {question.video}")
        elif isinstance(checked_task, CheckedTask):
            question_hashes.append(int.from_bytes(digest("question", [question.video, *checked_task.content()])[:8]))
            flag_bits.append(sum(1 << bit_by_flag.setdefault(flag, len(bit_by_flag)) for flag in checked_task.flags))
    distinct_hashes, first_indices = np.unique(np.asarray(question_hashes), return_index=True)
    first_flag_bits = np.asarray(flag_bits)[first_indices]
    count_by_flag = {
        flag: int((first_flag_bits >> np.uint64(flag_bit) & np.uint64(1)).sum()) for flag, flag_bit in bit_by_flag.items()
    }
    count_by_flag = {flag: count for flag, count in count_by_flag.items() if count}
    return Imported(
        len(distinct_hashes),
        len(question_hashes) - len(distinct_hashes),
        count_by_flag,
        dict(count_by_rejection),
        0,
        {},
        example_by_reason,
        +missing,
        _namespace(annotation_format, claims),
    )


def add_videos(
    workspace: WorkspaceFolder, command: str, given_places: Sequence[str], claims: SourceInfo
) -> videos.RegisteredFiles:
    """Register videos in `inputs/`; a run ingests them."""
    with workspace.require().held(command):
        return videos.register(workspace, given_places, claims)


def add_annotations(
    workspace: WorkspaceFolder,
    command: str,
    form: str,
    files: Sequence[Path],
    folders: Sequence[Path] = (),
    claims: SourceInfo = NO_CLAIMS,
) -> ImportedFiles:
    """Take in annotation files, and register the videos in folders that they refer to; a run does the rest."""
    annotation_format = find_format(form, "import")
    for file in files:
        if not file.is_file():
            raise InputError("there is no such file", where=str(file), hint="correct the path")
    claims = replace(
        claims,
        source=annotation_format.name if claims.source == UNKNOWN else claims.source,
        namespace=_namespace(annotation_format, claims),
    )
    is_benchmark = annotation_format.role == "benchmark"
    _require_stage(workspace.require(), Benchmarks.name if is_benchmark else Import.name)
    imported_files = ImportedFiles(annotation_format, tuple(files), FOLDER if is_benchmark else annotations.ANNOTATIONS)
    if is_benchmark:  # its videos are not used, so none is looked for: only their ids matter
        with workspace.require().held(command):
            annotations.store_questions(workspace, imported_files, read_questions(annotation_format, files), None, claims)
        return imported_files
    with workspace.require().held(command):
        if folders:
            _register_referenced(workspace, annotation_format, files, folders, claims)
        finder, forgotten_ids = VideoFinder(videos.names(videos.listed(workspace).values())), forgotten_videos(workspace)
        placed_questions = (
            question
            for question in read_questions(annotation_format, files)
            if not set(finder.find(question.question.video)) & forgotten_ids
        )
        annotations.store_questions(workspace, imported_files, placed_questions, partial(_resolve_video, finder), claims)
    return imported_files


def _namespace(form: AnnotationFormat, claims: SourceInfo) -> str:
    """Whose names of videos these are: as it is claimed, else as the format says."""
    return form.namespace if claims.namespace == UNKNOWN else claims.namespace


def _require_stage(workspace: WorkspaceFolder, name: str) -> None:
    """Refuse files that no stage of the recipe would read."""
    if name not in [stage.name for stage in read_recipe(workspace.recipe).stages]:
        message = f"the recipe has no stage that reads this: {name!r}"
        raise InputError(message, where=str(workspace.recipe), hint=f"add a line [stages.{name}] to it, behind [stages.ingest]")


def _register_referenced(
    workspace: WorkspaceFolder, form: AnnotationFormat, files: Sequence[Path], folders: Sequence[Path], claims: SourceInfo
) -> None:
    """Register those videos in folders that annotations refer to, and no others, to save disk space."""
    finder = _finder_in_folders(folders)
    referenced_names = {
        referenced_name
        for placed_question in read_questions(form, files)
        if (referenced_name := placed_question.question.video)
    }
    referenced_paths = {
        video_path
        for referenced_name in referenced_names
        for video_path in (finder.find(referenced_name) if len(finder.find(referenced_name)) == 1 else ())
    }
    videos.register(workspace, sorted(referenced_paths), claims)


def _finder_in_folders(folders: Sequence[Path]) -> VideoFinder[str]:
    return VideoFinder((path, path) for path in videos.files_in(folders))


def _resolve_video(finder: VideoFinder[Id], name: str) -> Id | str:
    matches = finder.find(name)
    return matches[0] if len(matches) == 1 else annotations.AMBIGUOUS if matches else annotations.MISSING


def _outcomes(view: LakeView, stage: str, column: Literal["input", "video"], ids: Sequence[Id]) -> Counter[tuple[str, str]]:
    """Counts of a stage's outcomes by status and reason, for these inputs or for inputs about these videos."""
    matching_sql = f"SELECT * FROM outcomes o SEMI JOIN meant m ON o.{column} = m.id WHERE o.stage = $stage"
    outcome_counts = _query_by_ids(
        view, ids, f"SELECT status, reason, count(*) FROM ({matching_sql}) GROUP BY ALL", stage=stage
    )
    return Counter({(status, reason): count for status, reason, count in outcome_counts})


def _count_made(view: LakeView, table: str, row_ids: Sequence[Id]) -> int:
    """How many rows of a table were made from these inputs."""
    return _query_by_ids(view, row_ids, f"SELECT count(DISTINCT id) FROM {table} t SEMI JOIN meant m ON t.made_from = m.id")[0][
        0
    ]


def _count_flags(view: LakeView, row_ids: Sequence[Id]) -> dict[str, int]:
    """How many tasks have each flag, a correction that was made to them."""
    tasks_sql = "SELECT DISTINCT t.id, t.flags FROM tasks t SEMI JOIN meant m ON t.made_from = m.id WHERE flags <> ''"
    counts_sql = f"SELECT unnest(string_split(flags, ', ')), count(*) FROM ({tasks_sql}) GROUP BY 1 ORDER BY 2 DESC, 1"
    return dict(_query_by_ids(view, row_ids, counts_sql))


def _examples(view: LakeView, stage: str, column: Literal["input", "video"], ids: Sequence[Id]) -> dict[str, tuple[str, Id]]:
    """For each reason to reject or to quarantine, an example among these inputs or inputs about these videos: its detail, and
    the video."""
    matching_sql = (
        f"SELECT * FROM outcomes o SEMI JOIN meant m ON o.{column} = m.id WHERE o.stage = $stage AND status <> 'made'"
    )
    example_sql = "first(detail ORDER BY detail, video), first(video ORDER BY detail, video)"
    reason_examples = _query_by_ids(view, ids, f"SELECT reason, {example_sql} FROM ({matching_sql}) GROUP BY 1", stage=stage)
    return {reason: (detail, video) for reason, detail, video in reason_examples}


def _why_unusable(view: LakeView, video: Id) -> str:
    """What `ingest` says of a video that it quarantined, to be put behind the name of the video."""
    causes = _examples(view, Ingest.name, "video", [video])
    return "".join(f" ({': '.join(filter(None, (cause, detail)))})" for cause, (detail, _) in causes.items())


def _query_by_ids(view: LakeView, ids: Sequence[Id], sql: str, **values: object) -> list[tuple[Any, ...]]:
    """Run a query that may use `meant`, a table of these ids."""
    cursor = view.cursor(sql)
    cursor.register("meant", pa.table({"id": pa.array(list(set(ids)), pa.binary(ID_BYTES))}))
    return cursor.execute(sql, values).fetchall()


@contextmanager
def _current(workspace: WorkspaceFolder) -> Generator[LakeView]:
    """A view of the lake under its current recipe."""
    with workspace.reading():
        yield LakeView(Lake(workspace), read_recipe(workspace.recipe).stages)
