"""Which tasks are worked on at all? Splits that keep copies of a video together, and quotas, before any money is spent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

import numpy as np
import pyarrow as pa
from pydantic import Field, NonNegativeInt, field_validator

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import Gate, StageConfig
from dmforge.curation.contract.stage_results import Key, Made, Origin, Rejected, Result, StageResults, settle
from dmforge.curation.video.fingerprint import Fingerprint, copies
from dmforge.generators.stages.admit import Authored
from dmforge.schemas.columns import id_list, id_matrix
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Record, Spliced, Task, TaskKind
from dmforge.schemas.replies import QuestionType

if TYPE_CHECKING:
    from dmforge.schemas.columns import IdColumn

TRAIN, HELD_OUT = "train", "held_out"
ANY = "*"
CHUNK_TASKS = 10_000
"""Tasks whose results are handed over at a time."""
TASK_COLUMNS = "SELECT id, video, source, task_kind FROM ({}) ORDER BY video, id"
"""SQL of the columns that decide about a task: all tasks are in memory at once, as columns."""
Decision = tuple[str, str]
"""The reason for which a task is left out, and its detail; or no reason, and the split that it is drawn for."""
DRAWN_FOR_TRAINING: Decision = "", TRAIN
HELD_OUT_FOR_EVALUATION: Decision = "", HELD_OUT
MIXED_SPLITS: Decision = "its parts are of different splits", "what is held out must not be seen in training"


@dataclass(frozen=True, slots=True)
class Drawn(Record):
    """A task that is used, with the split that it is used for."""

    kind = "drawn"
    table = "drawn"

    video: Id
    """The video of the task."""
    task: Id
    """The task that is used."""
    split: str
    """`train`, or `held_out` for evaluation."""


class DrawConfig(StageConfig):
    """How many tasks of which kind, and how many videos are kept out of training."""

    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of videos that are kept for evaluation; copies and trims of a video go with it."""
    seed: int = 0
    """The seed of the draw: another one draws other tasks."""
    quotas: dict[str, NonNegativeInt] = Field(default_factory=dict)
    """`source/kind` -> the most tasks of it, as in `"charades_sta/grounding" = 5000`; `*` stands for any. The first quota that
    fits a task counts, in alphabetical order, `*` last."""
    types: dict[QuestionType, NonNegativeInt] = Field(default_factory=dict[QuestionType, int])
    """The most tasks of each type among the questions that were written here; the type of others is unknown."""

    @field_validator("quotas")
    @classmethod
    def _name_kinds(cls, quotas: dict[str, int]) -> dict[str, int]:
        for quota_name in quotas:
            source_name, _, kind_name = quota_name.rpartition("/")
            if not source_name or kind_name not in (ANY, *get_args(TaskKind)):
                raise ValueError(
                    f"{quota_name!r} fits no task: write source/kind, with one of {', '.join(get_args(TaskKind))} or *"
                )
        return quotas


class Draw(Gate, Collective[Task, Drawn]):
    """Draws tasks for splits; later stages see those drawn for training."""

    name, version = "draw", 2
    config: DrawConfig
    also_reads = (Fingerprint, Authored, Spliced)
    if_there = (Authored, Spliced)

    def passing(self, made: str) -> str:
        return f"SELECT task AS id FROM ({made}) WHERE split = '{TRAIN}'"

    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        task_table = view.table(TASK_COLUMNS.format(view.rows(Task).sql)).combine_chunks()
        task_decisions = self._decisions(view, task_table)
        for chunk_start in range(0, task_table.num_rows, CHUNK_TASKS):
            task_keys, task_results = list[Key](), list[Result]()
            for task_index, task_row in enumerate(task_table.slice(chunk_start, CHUNK_TASKS).to_pylist(), chunk_start):
                task_keys.append(Key(task_row["id"], task_row["video"]))
                task_results.append(_result(task_keys[-1], *task_decisions[task_index]))
            yield settle(origin, task_keys, task_results, self.makes)

    def _decisions(self, view: View, task_table: pa.Table) -> list[Decision]:
        """The decision about each task: quotas are filled in the order of the draw."""
        hashes_by_video = {fingerprint.video: fingerprint.hashes for fingerprint in view.all_rows(Fingerprint)}
        type_by_task = _authored_types(view) if self.config.types else {}
        cluster_by_video = clustered(
            {*id_list(task_table.column("video").unique())} | hashes_by_video.keys(), list(copies(hashes_by_video))
        )
        held_out_by_video = {video_id: {self._is_held_out(cluster_id)} for video_id, cluster_id in cluster_by_video.items()}
        for spliced_video, part_videos in _parts_of_spliced(view).items():
            held_out_by_video[spliced_video] = {
                self._is_held_out(cluster_by_video.get(part_video, part_video)) for part_video in part_videos
            }
        count_by_quota: Counter[str] = Counter()
        decisions: list[Decision] = [DRAWN_FOR_TRAINING] * task_table.num_rows
        for task_index in self._draw_order(task_table.column("id")):
            task_id, video_id, source_name, task_kind = (task_column[task_index].as_py() for task_column in task_table.columns)
            if True in held_out_by_video[video_id]:
                decisions[task_index] = MIXED_SPLITS if len(held_out_by_video[video_id]) > 1 else HELD_OUT_FOR_EVALUATION
                continue
            task_quotas = self._quotas_of(source_name, task_kind, type_by_task.get(task_id))
            exceeded_quota = next(
                (quota_name for quota_name, quota_size in task_quotas if count_by_quota[quota_name] >= quota_size), None
            )
            if exceeded_quota is None:
                count_by_quota.update(quota_name for quota_name, _ in task_quotas)
            else:
                decisions[task_index] = "over its quota", exceeded_quota
        return decisions

    def _draw_order(self, ids: IdColumn) -> Iterator[int]:
        """The indices of tasks in the order in which they are drawn."""
        draw_digests = b"".join(digest("draw", [self.config.seed, task_id.tobytes()]) for task_id in id_matrix(ids))
        high_bits, low_bits = np.frombuffer(draw_digests, ">u8").reshape(-1, 2).T
        return map(int, np.lexsort((low_bits, high_bits)))

    def _quotas_of(self, source: str, kind: str, question_type: QuestionType | None) -> list[tuple[str, int]]:
        """The quotas that a task falls under: of its source and kind, and of its type."""
        quota_names = (f"{source}/{kind}", f"{source}/{ANY}", f"{ANY}/{kind}", f"{ANY}/{ANY}")
        names_and_sizes = [
            (quota_name, self.config.quotas[quota_name]) for quota_name in quota_names if quota_name in self.config.quotas
        ][:1]
        return (
            [*names_and_sizes, (f"type {question_type}", self.config.types[question_type])]
            if question_type in self.config.types
            else names_and_sizes
        )

    def _is_held_out(self, cluster: Id) -> bool:
        random_bits = int.from_bytes(digest("held out", [self.config.seed, cluster])[:8])
        return random_bits < self.config.held_out * 2**64


def _result(task: Key, reason: str, detail: str) -> Result:
    return Rejected(reason, detail) if reason else Made((Drawn(task.video, task.input, detail),))


def _authored_types(view: View) -> Mapping[Id, QuestionType]:
    """The type of each question that was written here, by task."""
    return {authored.task: authored.type for authored in view.all_rows(Authored)}


def _parts_of_spliced(view: View) -> Mapping[Id, set[Id]]:
    """The videos that each spliced video is made of."""
    parts_by_spliced: defaultdict[Id, set[Id]] = defaultdict(set)
    for spliced_row in view.all_rows(Spliced):
        parts_by_spliced[spliced_row.video].add(spliced_row.part)
    return parts_by_spliced


def clustered(video_ids: set[Id], copy_pairs: list[tuple[Id, Id]]) -> Mapping[Id, Id]:
    """The cluster of each video, named by the lowest id in it; the pairs are copies."""
    parent_by_video = {video: video for video in video_ids}

    def root(video: Id) -> Id:
        while parent_by_video[video] != video:
            parent_by_video[video] = parent_by_video[parent_by_video[video]]
            video = parent_by_video[video]
        return video

    for video_id, copied_video in copy_pairs:
        lower_root, higher_root = sorted((root(video_id), root(copied_video)))
        parent_by_video[higher_root] = lower_root
    return {video: root(video) for video in video_ids}
