"""Is a task said twice? Paraphrases about one window, questions that are nearly the same, videos that are copies of others."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Settled, settle
from dmforge.curation.stage import Collective, StageConfig
from dmforge.curation.video.fingerprint import Fingerprint, copies
from dmforge.filters.draw import clustered
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import Id, show
from dmforge.schemas.likeness import bands, is_near, likeness, shingles, signature
from dmforge.schemas.records import Task, Verdict, Video
from dmforge.schemas.scoring import matches, measure_cs, overlap_cs

COMMON = 200
"""The most that a question is compared with in a band, beyond which the time would be quadratic in a common phrase."""
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
        videos = sorted(from_arrow(Video, view.table(view.rows(Video).sql)), key=lambda video: video.id)
        tasks = sorted(from_arrow(Task, view.table(view.rows(Task).sql)), key=lambda task: task.id)
        prints = {row.video: row.hashes for row in from_arrow(Fingerprint, view.table(view.rows(Fingerprint).sql))}
        clusters = clustered({video.id for video in videos} | prints.keys() | {t.video for t in tasks}, list(copies(prints)))
        verdicts: dict[Id, list[Verdict]] = {video.id: [_original(video.id, clusters[video.id])] for video in videos}
        fresh = _nearly_the_same([task.question for task in tasks])
        together: defaultdict[Id, _Before] = defaultdict(lambda: _Before(self.config.same_window))
        for task in tasks:
            told = f"{fresh[task.question]} questions of the corpus are nearly this one" if fresh[task.question] > 1 else ""
            reason = "asked elsewhere" if told else ""
            verdicts[task.video] += [
                self._unique(task, together[clusters[task.video]]),
                Verdict(task.video, task.id, "task", "fresh", 1 / fresh[task.question], fresh[task.question], reason, told),
            ]
            together[clusters[task.video]].add(task)
        keys = [Key(video.id, video.id) for video in videos]
        yield settle(origin, keys, [Made(tuple(verdicts[video.id])) for video in videos], self.makes)

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


def _nearly_the_same(questions: Iterable[str]) -> Mapping[str, int]:
    """For each question how many of all are near it, itself among them. What has the same shingles is counted without any
    pair: templates say one thing a thousand times. Others are compared where they share a band of MinHash."""
    questions = list(questions)
    times = Counter(shingles(question) for question in questions)
    spoken = {shingles(question): question for question in sorted(questions, reverse=True)}
    said = {question: times[shingles(question)] for question in spoken.values()}
    found = dict(said)
    for one, other in sorted(_likely(sorted(said))):
        if is_near(one, other):
            found[one] += said[other]
            found[other] += said[one]
    return {question: found[spoken[shingles(question)]] for question in questions}


def _likely(questions: Sequence[str]) -> set[tuple[str, str]]:
    """Pairs that share a band, each in its order. In a band of more than `COMMON` each is paired with that many that follow
    it: what is found there is a part of what is near, so a common question never looks like a rare one."""
    sharing: defaultdict[bytes, list[str]] = defaultdict(list)
    for question in questions:
        for band in bands(signature(question)):
            sharing[band].append(question)
    return {
        (one, other) for group in sharing.values() for at, one in enumerate(group) for other in group[at + 1 : at + 1 + COMMON]
    }
