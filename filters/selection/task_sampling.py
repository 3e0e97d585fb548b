"""Which tasks are worked on at all? Splits that keep copies of a video together, and quotas, before any money is spent."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, get_args

import numpy as np
from pydantic import Field, NonNegativeInt, field_validator

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import Gate, StageConfig
from dmforge.curation.contract.stage_results import Key, Made, Origin, Rejected, Result, StageResults, settle
from dmforge.curation.video.fingerprint import Fingerprint, copies
from dmforge.generators.stages.admit import Authored
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Record, Spliced, Task, TaskKind
from dmforge.schemas.replies import QuestionType

TRAIN, HELD_OUT = "train", "held_out"
ANY = "*"
CHUNK_TASKS = 10_000
"""Tasks of a range of videos. Of all tasks no more is in memory than the digest by which they are drawn, and a number."""
TASK_COLUMNS = "SELECT id, video, source, task_kind FROM ({}) ORDER BY video, id"
"""SQL of the columns that decide about a task."""
Decision = tuple[str, str]
"""The reason for which a task is left out, and its detail; or no reason, and the split that it is drawn for."""
DRAWN_FOR_TRAINING: Decision = "", TRAIN
HELD_OUT_FOR_EVALUATION: Decision = "", HELD_OUT
Quota = tuple[str, int]
"""Its name, and how many tasks it lets through."""
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
        ranges, drawing = view.ranges(Task, CHUNK_TASKS), Drawing()
        cluster_by_video = _clusters_of_copies(view)
        for bounds in ranges:
            tasks, split = _tasks_within(view, bounds), self._split_within(view, bounds, cluster_by_video)
            type_by_task = _authored_types(view, bounds) if self.config.types else {}
            for task_id, task_video, source_name, task_kind in tasks:
                quotas = self._quotas_of(source_name, task_kind, type_by_task.get(task_id))
                drawing.add(digest("draw", [self.config.seed, task_id]), split(task_video), tuple(quotas))
        decisions = drawing.decisions()
        for bounds in ranges:
            task_keys = [Key(task_id, task_video) for task_id, task_video, *_ in _tasks_within(view, bounds)]
            yield settle(origin, task_keys, [_result(task_key, *next(decisions)) for task_key in task_keys], self.makes)

    def _split_within(
        self, view: View, bounds: Mapping[str, bytes], cluster_by_video: Mapping[Id, Id]
    ) -> Callable[[Id], Decision]:
        """The split of a video of a range."""
        parts_by_spliced = _parts_of_spliced(view, bounds)

        @cache
        def split(video: Id) -> Decision:
            parts = parts_by_spliced.get(video, {video})
            held_out = {self._is_held_out(cluster_by_video.get(part_video, part_video)) for part_video in parts}
            if True not in held_out:
                return DRAWN_FOR_TRAINING
            return MIXED_SPLITS if len(held_out) > 1 else HELD_OUT_FOR_EVALUATION

        return split

    def _quotas_of(self, source: str, kind: str, question_type: QuestionType | None) -> list[Quota]:
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


class Drawing:
    """A draw over any number of tasks, which come range by range: 20 bytes are kept of each."""

    def __init__(self) -> None:
        self._digests, self._rules = bytearray(), array("i")
        self._number_by_rule: dict[tuple[Decision, tuple[Quota, ...]], int] = {}

    def add(self, draw_digest: Id, split: Decision, quotas: tuple[Quota, ...]) -> None:
        """A further task. Only those for training count to their quotas."""
        rule = split, quotas if split == DRAWN_FOR_TRAINING else ()
        self._digests += draw_digest
        self._rules.append(self._number_by_rule.setdefault(rule, len(self._number_by_rule)))

    def decisions(self) -> Iterator[Decision]:
        """The decision about each task, in the order in which they came. Quotas are filled in the order of the draw."""
        rules, chosen = list(self._number_by_rule), np.array(self._rules, np.int32)
        decisions, number_by_quota, count_by_quota = [split for split, _ in rules], dict[str, int](), Counter[str]()
        with_quotas = np.isin(chosen, [number for number, (_, quotas) in enumerate(rules) if quotas])
        high_bits, low_bits = np.frombuffer(self._digests, ">u8").reshape(-1, 2)[with_quotas].T
        for task_index in np.flatnonzero(with_quotas)[np.lexsort((low_bits, high_bits))]:
            _, quotas = rules[chosen[task_index]]
            exceeded_quota = next((name for name, quota_size in quotas if count_by_quota[name] >= quota_size), None)
            if exceeded_quota is None:
                count_by_quota.update(name for name, _ in quotas)
                continue
            if exceeded_quota not in number_by_quota:
                number_by_quota[exceeded_quota] = len(decisions)
                decisions.append(("over its quota", exceeded_quota))
            chosen[task_index] = number_by_quota[exceeded_quota]
        return (decisions[number] for number in chosen)


def _result(task: Key, reason: str, detail: str) -> Result:
    return Rejected(reason, detail) if reason else Made((Drawn(task.video, task.input, detail),))


def _tasks_within(view: View, bounds: Mapping[str, bytes]) -> Iterator[tuple[Id, Id, str, str]]:
    """Id, video, source and kind of each task of a range, in their order."""
    columns = view.table(TASK_COLUMNS.format(view.rows(Task).within(bounds)), bounds).columns
    return zip(*(column.to_pylist() for column in columns), strict=True)


def _authored_types(view: View, bounds: Mapping[str, bytes]) -> Mapping[Id, QuestionType]:
    """The type of each question about videos of a range that was written here, by task."""
    return {authored.task: authored.type for authored in view.about(bounds, Authored)}


def _parts_of_spliced(view: View, bounds: Mapping[str, bytes]) -> Mapping[Id, set[Id]]:
    """The videos that each spliced video of a range is made of."""
    parts_by_spliced: defaultdict[Id, set[Id]] = defaultdict(set)
    for spliced_row in view.about(bounds, Spliced):
        parts_by_spliced[spliced_row.video].add(spliced_row.part)
    return parts_by_spliced


def _clusters_of_copies(view: View) -> Mapping[Id, Id]:
    """The cluster of each video that has a copy. Every other video is one of its own."""
    copy_pairs = list(copies({fingerprint.video: fingerprint.hashes for fingerprint in view.all_rows(Fingerprint)}))
    return clustered({video for copy_pair in copy_pairs for video in copy_pair}, copy_pairs)


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
