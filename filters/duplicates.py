"""Is a task said twice? Paraphrases about one window, questions that are nearly the same, videos that are copies of others."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import ChainMap, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from dmforge.curation.lake.views import View, range_condition
from dmforge.curation.settled import Key, Made, Origin, Settled, settle
from dmforge.curation.stage import Collective, StageConfig
from dmforge.curation.video.fingerprint import Fingerprint, copies
from dmforge.filters.alike import Alike
from dmforge.filters.draw import clustered
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import Id, show
from dmforge.schemas.likeness import is_near, likeness
from dmforge.schemas.records import Task, Verdict, Video
from dmforge.schemas.scoring import matches, measure_cs, overlap_cs

RANGE_ROWS = 5_000
"""Tasks, or videos, of a range of video ids that is in memory at once."""
PARAPHRASE = 0.5
"""How alike two queries about one and the same window are at least: whatever their words, they teach the same look."""


class DuplicatesConfig(StageConfig):
    """When two windows are one."""

    same_window: Annotated[float, Field(gt=0, le=1)] = 0.9
    """The least IoU of windows that are the same."""


class Duplicates(Collective[Video, Verdict]):
    """One verdict a video, `original`: 0 where it is a copy of another one. Two a task: `unique`, how far it is from the
    most similar task before it about the same video or a copy; `fresh`, one over the number of questions that are nearly the
    same, in any video: templates and common phrases have a low one and may be fine, so nobody need use it.

    Before means with a lesser id, so it is the same one on every machine that is kept."""

    name, version = "duplicates", 2
    measures = ("original", "unique", "fresh")
    config: DuplicatesConfig
    also_reads = (Fingerprint, Task)

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        ranges = max((view.ranges(record, RANGE_ROWS) for record in (Video, Task)), key=len)
        questions = f"SELECT question FROM ({view.rows(Task).sql}) WHERE {range_condition('video')}"
        alike = Alike(str(text) for bounds in ranges for text in view.table(questions, bounds).column("question").to_pylist())
        prints = {row.video: row.hashes for row in from_arrow(Fingerprint, view.table(view.rows(Fingerprint).sql))}
        pairs = list(copies(prints))
        clusters = clustered({video for pair in pairs for video in pair}, pairs)
        # copies are compared with each other wherever their ids lie; there are few
        of_copies = self._verdicts(_about(view, clusters), clusters, alike)
        for bounds in ranges:
            videos = sorted(video.id for video in view.about(bounds, Video))
            tasks = [task for task in view.about(bounds, Task) if task.video not in clusters]
            told = ChainMap(self._verdicts(tasks, clusters, alike), of_copies)
            made = [Made((_original(video, clusters.get(video, video)), *told.get(video, ()))) for video in videos]
            yield settle(origin, [Key(video, video) for video in videos], made, self.makes)

    def _verdicts(self, tasks: list[Task], clusters: Mapping[Id, Id], alike: Alike) -> dict[Id, list[Verdict]]:
        """Those of tasks, by video. A video that has no copy is a cluster of its own."""
        found: defaultdict[Id, list[Verdict]] = defaultdict(list)
        together: defaultdict[Id, _Before] = defaultdict(lambda: _Before(self.config.same_window))
        for task in sorted(tasks, key=lambda task: task.id):
            before, near = together[clusters.get(task.video, task.video)], alike.near(task.question)
            told = f"{near} questions of the corpus are nearly this one" if near > 1 else ""
            reason = "asked elsewhere" if told else ""
            fresh = Verdict(task.video, task.id, "task", "fresh", 1 / near, near, reason, told)
            found[task.video] += [self._unique(task, before), fresh]
            before.add(task)
        return dict(found)

    def _unique(self, task: Task, before: _Before) -> Verdict:
        alike = [(self._alike(task, other), other.id) for other in before.comparable(task)]
        most, other = min(alike, default=(0.0, b""), key=lambda pair: (-pair[0], pair[1]))
        reason = "said before" if most else ""
        # what is to be looked at is the whole question, beside that of the other task
        detail = f"at 0-{len(task.question)}: {most:.2f} like {show('task', other)}" if most else ""
        return Verdict(task.video, task.id, "task", "unique", 1 - most, before.count, reason, detail)

    def _alike(self, task: Task, other: Task) -> float:
        """0 for tasks of one kind that want different things, however they are worded."""
        if not self._same_windows(task, other):
            return 0.0
        near = is_near(task.question, other.question)
        if task.task_kind == "grounding":
            return max(PARAPHRASE, likeness(task.question, other.question)) if task.windows else float(near)
        return likeness(task.question, other.question) if near and matches(task.answer, other.answer) else 0.0

    def _same_windows(self, task: Task, other: Task) -> bool:
        if task.windows == other.windows:
            return True
        least = Fraction(self.config.same_window).limit_denominator(1000)
        union, both = measure_cs(task.windows + other.windows), overlap_cs(task.windows, other.windows)
        return both * least.denominator >= least.numerator * union


class _Before:
    """The tasks that came before about one video: by kind, and those with one window by where it begins."""

    def __init__(self, same_window: float) -> None:
        self.count = 0
        self._slack = (1 - same_window) / same_window
        self._starts: defaultdict[str, list[int]] = defaultdict(list)
        self._single: defaultdict[str, list[Task]] = defaultdict(list)
        self._others: defaultdict[tuple[str, bool], list[Task]] = defaultdict(list)

    def add(self, task: Task) -> None:
        self.count += 1
        if len(task.windows) != 1:
            self._others[task.task_kind, bool(task.windows)].append(task)
            return
        starts, start_cs = self._starts[task.task_kind], task.windows[0].start_cs
        at = bisect_right(starts, start_cs)
        starts.insert(at, start_cs)
        self._single[task.task_kind].insert(at, task)

    def comparable(self, task: Task) -> Iterator[Task]:
        """Those of its kind that may have its windows. What lies between two starts is in one window alone, so with an IoU of
        q at least it is (1 - q) / q of the other one at most. Of several windows the first may be far away and short."""
        kind, windows = task.task_kind, task.windows
        yield from self._others[kind, bool(windows)]
        if len(windows) == 1:
            slack_cs = self._slack * measure_cs(windows) + 1
            starts, start_cs = self._starts[kind], windows[0].start_cs
            yield from self._single[kind][bisect_left(starts, start_cs - slack_cs) : bisect_right(starts, start_cs + slack_cs)]
        elif windows:
            yield from self._single[kind]


def _original(video: Id, cluster: Id) -> Verdict:
    copy = video != cluster
    detail = show("video", cluster) if copy else ""
    return Verdict(
        video, video, "video", "original", 0.0 if copy else 1.0, 1, "a copy of another video" if copy else "", detail
    )


def _about(view: View, videos: Iterable[Id]) -> list[Task]:
    """The tasks about some videos."""
    some = f"SELECT * FROM ({view.rows(Task).sql}) SEMI JOIN (SELECT unnest($videos::BLOB[]) AS video) USING (video)"
    return from_arrow(Task, view.table(some, {"videos": list(videos)}))
