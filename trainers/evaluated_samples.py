"""The rows of an evaluation as a workspace keeps them: in its lake, beside the videos and tasks that they are about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dmforge.curation.lake.evaluations import keep_evaluation
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.inference.named_student import StudentConfig
from dmforge.schemas.evaluated_sample import EvaluatedSample, HeldSample
from dmforge.schemas.ids import Id, digest, read, show
from dmforge.schemas.looks import Look, Window, read_box, read_density
from dmforge.trainers.evaluation_rows import EvaluationRow, HeldRow, RowLook
from dmforge.trainers.evaluation_settings import EvaluationSettings


def add_to_lake(name: str, rows: Sequence[EvaluationRow], settings: EvaluationSettings, corpora: Sequence[Corpus]) -> None:
    """Store the rows in the lake of a workspace, beside the videos and tasks that they are about."""
    checkpoint_path = Path(settings.checkpoint)
    student_id = (
        StudentConfig(checkpoint=str(checkpoint_path)).id()
        if checkpoint_path.is_dir()
        else digest("student", settings.checkpoint)
    )
    evaluation_config = {
        "student": show("student", student_id), "selections": [corpus.manifest.selection for corpus in corpora],
        "max_samples": settings.max_samples, "weights": settings.weights, "roll": settings.roll.semantic(),
        **({"engine": settings.engine.semantic()} if settings.engine else {}),
        **({"dialect": settings.dialect} if settings.dialect != "span" else {}),
    }  # fmt: skip
    evaluated_rows = [evaluated(evaluation_row, student_id, name) for evaluation_row in rows]
    lake_command = f"dmforge evaluate: {name}"
    keep_evaluation(
        WorkspaceFolder(Path(settings.workspace)),
        lake_command,
        digest("evaluation", evaluation_config),
        evaluation_config,
        evaluated_rows,
    )


def evaluated(row: EvaluationRow, student_id: Id, checkpoint: str) -> EvaluatedSample:
    """A row of an evaluation, as a row of the lake."""
    return EvaluatedSample(
        read(row.video)[1], read(row.sample)[1], read(row.task)[1], student_id, checkpoint, row.ending,
        _look_of([row.window_cs] if row.window_cs else [], row.fps, row.box, row.tokens),
        _look_of(row.target_cs, row.target_fps, row.target_box, row.target_tokens),
        row.iou, row.density_error, row.answer, row.answer_score, row.uniform_frames, row.visual_tokens,
        further_looks=_looks_of(row.further_looks), further_targets=_looks_of(row.further_targets),
        needed_looks=row.needed_looks, iou_set=row.iou_set, held_rollouts=tuple(map(_held_sample, row.held_rollouts or ())),
    )  # fmt: skip


def _held_sample(held_row: HeldRow) -> HeldSample:
    return HeldSample(
        held_row.held_to,
        held_row.ending,
        _looks_of(held_row.looks),
        held_row.iou_set,
        held_row.answer,
        held_row.answer_score,
        held_row.visual_tokens,
    )


def _look_of(
    windows_cs: Sequence[tuple[int, int]], fps_text: str | None, box_text: str | None, tokens: int | None
) -> Look | None:
    fps_or_none = read_density(fps_text) if fps_text else None
    box = read_box(box_text) if box_text else None
    return Look(Window(*windows_cs[0]), fps_or_none, box, tokens) if windows_cs and fps_or_none else None


def _looks_of(row_looks: Sequence[RowLook] | None) -> tuple[Look, ...]:
    looks = [_look_of([look.window_cs], look.fps, look.box, look.tokens) for look in row_looks or ()]
    return tuple(filter(None, looks))
