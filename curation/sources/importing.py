"""The stage that turns questions into tasks: checked against the rules and the length of the video that they are about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from dmforge.curation.contract.stage import Batch, Root, StageConfig
from dmforge.curation.contract.stage_results import Made, Quarantined, Rejected, Result
from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.curation.sources.annotations import AnnotationRow, all_rows, read_question, source_version
from dmforge.curation.sources.task_checks import CheckedTask, check
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.dialects.known_dialects import dialect_of
from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.looks import Look
from dmforge.schemas.prompts import prompt
from dmforge.schemas.records import Candidate, Joined, Task, Video
from dmforge.schemas.targets import right_windows
from dmforge.schemas.transcript import Piece, Transcript

VIDEO = "<video>"
"""The tag in a file's trajectory for the clip of its look."""
UNUSABLE = "its video can't be used"
"""Why a question waits whose video was quarantined."""


@dataclass(frozen=True, slots=True)
class RowWithVideo(Joined):
    """A row with its video; None if that was quarantined."""

    row: AnnotationRow
    video: Video | None


class ImportConfig(StageConfig):
    """How annotations become tasks."""


class Import(Root, Batch[RowWithVideo, Task | Candidate]):
    """Makes tasks of questions, and candidates, where a file has trajectories."""

    name, version = "import", 4
    allows_duplicate_rows = True  # the same question may stand in two files
    config: ImportConfig

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return source_version(workspace)

    def scan(self, workspace: WorkspaceFolder) -> Iterator[AnnotationRow]:
        return all_rows(workspace)

    def process(self, items: Iterator[RowWithVideo]) -> Iterator[Result]:
        return (_import_row(row_with_video.row, row_with_video.video) for row_with_video in items)


def _import_row(row: AnnotationRow, video: Video | None) -> Result:
    question = read_question(row.said)
    checked_task = question if isinstance(question, RefusedQuestion) else check(question, video.duration_cs if video else None)
    if isinstance(question, RefusedQuestion) or isinstance(checked_task, RefusedQuestion):
        refusal_reason = checked_task.reason if isinstance(checked_task, RefusedQuestion) else ""
        return Rejected(refusal_reason, f"{row.origin}: {question.video}")
    if video is None:
        # not rejected: whoever has its video tried again has its questions tried again
        return Quarantined(UNUSABLE, f"{row.origin}: {question.video}")
    if video.role == "benchmark":
        return Rejected("its video is a benchmark's", f"{row.origin}: {question.video}")
    imported_task = _task(row, question, checked_task)
    candidate_of_reply = _candidate(imported_task, question.reply) if question.reply else None
    return Made((imported_task,) if candidate_of_reply is None else (imported_task, candidate_of_reply))


def _task(row: AnnotationRow, question: Question, checked_task: CheckedTask) -> Task:
    task_extras = dict(question.extras) | ({} if question.fps is None else {"fps": question.fps})
    return Task(
        row.video, checked_task.kind, checked_task.question, checked_task.options, checked_task.answer,
        checked_task.windows, checked_task.needs,
        source=row.source, licence=row.licence, terms=row.terms, split=row.split, origin=row.origin,
        flags=", ".join(checked_task.flags), extras=json.dumps(task_extras) if task_extras else "",
        import_number=row.import_number,
    )  # fmt: skip


def _candidate(task: Task, reply: str) -> Candidate:
    """A trajectory as its file words it: what is wrong with it, the rules will say."""
    dialect = dialect_of(reply)
    trajectory = dialect.parse(reply, len(reply)) if dialect.turn_end else ()
    if isinstance(trajectory, Trajectory):
        transcript = dialect.transcribe(prompt(task), trajectory)
        return Candidate(task.video, task.id, 0, task.source, transcript, trajectory.looks, trajectory.answer, "gold", ())
    parsed_trajectory = parse(reply.replace(VIDEO, ""), max(1, reply.count(VIDEO)))
    parsed_looks = parsed_trajectory.looks if isinstance(parsed_trajectory, Trajectory) else ()
    first_text, *further_texts = reply.split(VIDEO, len(parsed_looks)) if parsed_looks else [reply]
    transcript_pieces = [*prompt(task), Piece("policy", first_text)]
    for look, text_behind in zip(parsed_looks, further_texts, strict=False):
        transcript_pieces += [Piece("runtime", None, look), Piece("policy", text_behind)]
    final_answer = parsed_trajectory.answer if isinstance(parsed_trajectory, Trajectory) else ""
    return Candidate(
        task.video, task.id, 0, task.source, Transcript(tuple(transcript_pieces)), parsed_looks, final_answer, "gold", ()
    )


def imported_target(task: Task, max_looks: int) -> tuple[Look, ...]:
    """The looks that a file gives as a target, where a trajectory may have so many; empty where it gives none."""
    declared_fps = json.loads(task.extras).get("fps") if task.extras else None
    if not declared_fps:
        return ()
    # with one look it is the first window, also where all are needed: files of before are read as they were
    target_windows = right_windows(task, max_looks) if max_looks > 1 else task.windows[:1]
    return tuple(Look(target_window, Fraction(declared_fps).limit_denominator(1000)) for target_window in target_windows)
