"""Which tasks are worked on at all: splits by what videos look like, and quotas, before any money is spent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, NonNegativeInt

from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Rejected, Result, Settled, settle
from dmforge.curation.stage import Collective, Gate, StageConfig
from dmforge.curation.video.fingerprint import Fingerprint, copies
from dmforge.generators.admit import Authored
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Record, Spliced, Task
from dmforge.schemas.replies import QuestionType

TRAIN, HELD_OUT = "train", "held_out"
EVERY = "*"


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


class Draw(Gate, Collective[Task, Drawn]):
    """Tasks to splits; later stages see those drawn for training."""

    name, version = "draw", 2
    config: DrawConfig
    also_reads = (Fingerprint, Authored, Spliced)
    if_there = (Authored, Spliced)

    def passing(self, made: str) -> str:
        return f"SELECT task AS id FROM ({made}) WHERE split = '{TRAIN}'"

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        prints = {row.video: row.hashes for row in from_arrow(Fingerprint, view.table(view.rows(Fingerprint).sql))}
        types: dict[Id, QuestionType] = {
            row.task: row.type for row in from_arrow(Authored, view.table(view.rows(Authored).sql))
        }
        tasks = from_arrow(Task, view.table(view.rows(Task).sql))
        clusters = clustered({task.video for task in tasks} | prints.keys(), list(copies(prints)))
        held_out = {video: {self._is_held_out(cluster)} for video, cluster in clusters.items()}
        for whole, parts in _parts(view).items():
            held_out[whole] = {self._is_held_out(clusters.get(part, part)) for part in parts}
        order = sorted(tasks, key=lambda task: digest("draw", [self.config.seed, task.id]))
        taken: Counter[str] = Counter()
        results: dict[Id, Result] = {
            task.id: self._drawn(task, types.get(task.id), held_out[task.video], taken) for task in order
        }
        tasks.sort(key=lambda task: (task.video, task.id))
        yield settle(origin, [Key(task.id, task.video) for task in tasks], [results[task.id] for task in tasks], self.makes)

    def _drawn(self, task: Task, kind: QuestionType | None, held_out: set[bool], taken: Counter[str]) -> Result:
        if len(held_out) > 1:
            return Rejected("its parts are of different splits", "what is held out must not be seen in training")
        if True in held_out:
            return Made((Drawn(task.video, task.id, HELD_OUT),))
        own = self._quota_of(task)
        quotas: dict[str, int] = {} if own is None else {own: self.config.quotas[own]}
        if kind in self.config.types:
            quotas[f"type {kind}"] = self.config.types[kind]
        over = next((name for name, most in quotas.items() if taken[name] >= most), None)
        if over is not None:
            return Rejected("over its quota", over)
        taken.update(quotas.keys())
        return Made((Drawn(task.video, task.id, TRAIN),))

    def _is_held_out(self, cluster: Id) -> bool:
        drawn = int.from_bytes(digest("held out", [self.config.seed, cluster])[:8])
        return drawn < self.config.held_out * 2**64

    def _quota_of(self, task: Task) -> str | None:
        own = (f"{task.source}/{task.task_kind}", f"{task.source}/{EVERY}", f"{EVERY}/{task.task_kind}", f"{EVERY}/{EVERY}")
        return next((name for name in own if name in self.config.quotas), None)


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
