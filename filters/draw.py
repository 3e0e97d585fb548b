"""Which tasks are worked on at all: splits by what videos look like, and quotas, before any money is spent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

import numpy as np
import pyarrow as pa
from pydantic import Field, NonNegativeInt, field_validator

from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Rejected, Result, Settled, settle
from dmforge.curation.stage import Collective, Gate, StageConfig
from dmforge.curation.video.fingerprint import Fingerprint, copies
from dmforge.generators.admit import Authored
from dmforge.schemas.columns import from_arrow, id_list, id_matrix
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Record, Spliced, Task, TaskKind
from dmforge.schemas.replies import QuestionType

if TYPE_CHECKING:
    from dmforge.schemas.columns import IdColumn

TRAIN, HELD_OUT = "train", "held_out"
EVERY = "*"
CHUNK = 10_000
"""Tasks that are settled at a time."""
ASKED = "SELECT id, video, source, task_kind FROM ({}) ORDER BY video, id"
"""All that decides about a task: all tasks are in memory at once, as columns."""
Why = tuple[str, str]
"""The reason for which a task is left out, and its detail; or no reason, and the split that it is drawn for."""
FOR_TRAINING: Why = "", TRAIN
FOR_EVALUATION: Why = "", HELD_OUT
MIXED: Why = "its parts are of different splits", "what is held out must not be seen in training"


@dataclass(frozen=True, slots=True)
class Drawn(Record):
    """A task that is used, and for what."""

    kind = "drawn"
    table = "drawn"

    video: Id
    task: Id
    split: str


class DrawConfig(StageConfig):
    """How many tasks of which kind, and how many videos are kept out of training."""

    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of videos that are kept for evaluation; copies and trims of a video go with it."""
    seed: int = 0
    """Another seed draws others."""
    quotas: dict[str, NonNegativeInt] = Field(default_factory=dict)
    """`source/kind` -> the most tasks of it, as in `"charades_sta/grounding" = 5000`; `*` stands for any. The first that
    fits counts, in the order of the alphabet, `*` last."""
    types: dict[QuestionType, NonNegativeInt] = Field(default_factory=dict[QuestionType, int])
    """The most of each type among the questions that were written here; of others nobody knows the type."""

    @field_validator("quotas")
    @classmethod
    def _name_kinds(cls, quotas: dict[str, int]) -> dict[str, int]:
        for name in quotas:
            source, _, kind = name.rpartition("/")
            if not source or kind not in (EVERY, *get_args(TaskKind)):
                raise ValueError(f"{name!r} fits no task: write source/kind, with one of {', '.join(get_args(TaskKind))} or *")
        return quotas


class Draw(Gate, Collective[Task, Drawn]):
    """Tasks to splits; later stages see those drawn for training."""

    name, version = "draw", 2
    config: DrawConfig
    also_reads = (Fingerprint, Authored, Spliced)
    if_there = (Authored, Spliced)

    def passing(self, made: str) -> str:
        return f"SELECT task AS id FROM ({made}) WHERE split = '{TRAIN}'"

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        asked = view.table(ASKED.format(view.rows(Task).sql)).combine_chunks()
        why = self._why(view, asked)
        for start in range(0, asked.num_rows, CHUNK):
            keys, results = list[Key](), list[Result]()
            for at, row in enumerate(asked.slice(start, CHUNK).to_pylist(), start):
                keys.append(Key(row["id"], row["video"]))
                results.append(_result(keys[-1], *why[at]))
            yield settle(origin, keys, results, self.makes)

    def _why(self, view: View, asked: pa.Table) -> list[Why]:
        """What becomes of each, where the first places go to those that are drawn first."""
        prints = {row.video: row.hashes for row in from_arrow(Fingerprint, view.table(view.rows(Fingerprint).sql))}
        types = _types(view) if self.config.types else {}
        clusters = clustered({*id_list(asked.column("video").unique())} | prints.keys(), list(copies(prints)))
        held_out = {video: {self._is_held_out(cluster)} for video, cluster in clusters.items()}
        for whole, parts in _parts(view).items():
            held_out[whole] = {self._is_held_out(clusters.get(part, part)) for part in parts}
        taken: Counter[str] = Counter()
        found: list[Why] = [FOR_TRAINING] * asked.num_rows
        for at in self._order(asked.column("id")):
            task, video, source, kind = (column[at].as_py() for column in asked.columns)
            if True in held_out[video]:
                found[at] = MIXED if len(held_out[video]) > 1 else FOR_EVALUATION
                continue
            quotas = self._quotas(source, kind, types.get(task))
            over = next((name for name, most in quotas if taken[name] >= most), None)
            if over is None:
                taken.update(name for name, _ in quotas)
            else:
                found[at] = "over its quota", over
        return found

    def _order(self, ids: IdColumn) -> Iterator[int]:
        """The places of tasks in the order in which they are drawn."""
        drawn = b"".join(digest("draw", [self.config.seed, id.tobytes()]) for id in id_matrix(ids))
        high, low = np.frombuffer(drawn, ">u8").reshape(-1, 2).T
        return map(int, np.lexsort((low, high)))

    def _quotas(self, source: str, kind: str, type: QuestionType | None) -> list[tuple[str, int]]:
        """The quotas that a task falls under: of its source and kind, and of its type."""
        own = (f"{source}/{kind}", f"{source}/{EVERY}", f"{EVERY}/{kind}", f"{EVERY}/{EVERY}")
        found = [(name, self.config.quotas[name]) for name in own if name in self.config.quotas][:1]
        return [*found, (f"type {type}", self.config.types[type])] if type in self.config.types else found

    def _is_held_out(self, cluster: Id) -> bool:
        drawn = int.from_bytes(digest("held out", [self.config.seed, cluster])[:8])
        return drawn < self.config.held_out * 2**64


def _result(task: Key, reason: str, detail: str) -> Result:
    return Rejected(reason, detail) if reason else Made((Drawn(task.video, task.input, detail),))


def _types(view: View) -> Mapping[Id, QuestionType]:
    """Of the questions that were written here."""
    return {row.task: row.type for row in from_arrow(Authored, view.table(view.rows(Authored).sql))}


def _parts(view: View) -> Mapping[Id, set[Id]]:
    """What each video that was put together is made of."""
    found: defaultdict[Id, set[Id]] = defaultdict(set)
    for row in from_arrow(Spliced, view.table(view.rows(Spliced).sql)):
        found[row.video].add(row.part)
    return found


def clustered(videos: set[Id], pairs: list[tuple[Id, Id]]) -> Mapping[Id, Id]:
    """The cluster of each video, called by the least id in it."""
    leader = {video: video for video in videos}

    def found(video: Id) -> Id:
        while leader[video] != video:
            leader[video] = leader[leader[video]]
            video = leader[video]
        return video

    for one, other in pairs:
        first, second = sorted((found(one), found(other)))
        leader[second] = first
    return {video: found(video) for video in videos}
