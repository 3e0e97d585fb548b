"""Is a task said twice? Paraphrases about one window, questions that are nearly the same, videos that are copies of others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Annotated

from pydantic import Field

from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Settled, settle
from dmforge.curation.stage import Collective, StageConfig
from dmforge.curation.video.fingerprint import Fingerprint, copies
from dmforge.filters.draw import clustered
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import Id, show
from dmforge.schemas.likeness import bands, is_near, likeness, signature
from dmforge.schemas.records import Task, Verdict, Video
from dmforge.schemas.scoring import iou, matches

COMMON = 200
"""A band that more questions share is a phrase of many, and tells of no pair."""
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

    name, version = "duplicates", 1
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
        together: defaultdict[Id, list[Task]] = defaultdict(list)
        for task in tasks:
            told = f"{fresh[task.question]} questions of the corpus are nearly this one" if fresh[task.question] > 1 else ""
            reason = "asked elsewhere" if told else ""
            verdicts[task.video] += [
                self._unique(task, together[clusters[task.video]]),
                Verdict(task.video, task.id, "task", "fresh", 1 / fresh[task.question], fresh[task.question], reason, told),
            ]
            together[clusters[task.video]].append(task)
        keys = [Key(video.id, video.id) for video in videos]
        yield settle(origin, keys, [Made(tuple(verdicts[video.id])) for video in videos], self.makes)

    def _unique(self, task: Task, before: Sequence[Task]) -> Verdict:
        alike = [(self._alike(task, other), other.id) for other in before]
        most, other = max(alike, default=(0.0, b""), key=lambda pair: pair[0])
        reason = "said before" if most else ""
        # what is to be looked at is the whole question, beside that of the other task
        detail = f"at 0-{len(task.question)}: {most:.2f} like {show('task', other)}" if most else ""
        return Verdict(task.video, task.id, "task", "unique", 1 - most, len(before), reason, detail)

    def _alike(self, task: Task, other: Task) -> float:
        """0 for tasks that want different things, however they are worded."""
        if task.task_kind != other.task_kind or not self._same_windows(task, other):
            return 0.0
        near = is_near(task.question, other.question)
        if task.task_kind == "grounding":
            return max(PARAPHRASE, likeness(task.question, other.question)) if task.windows else float(near)
        said_same = matches(task.answer, other.answer)
        return likeness(task.question, other.question) if near and said_same else 0.0

    def _same_windows(self, task: Task, other: Task) -> bool:
        if not task.windows and not other.windows:
            return True
        return iou(task.windows, other.windows) >= Fraction(self.config.same_window).limit_denominator(1000)


def _original(video: Id, cluster: Id) -> Verdict:
    copy = video != cluster
    detail = show("video", cluster) if copy else ""
    return Verdict(
        video, video, "video", "original", 0.0 if copy else 1.0, 1, "a copy of another video" if copy else "", detail
    )


def _nearly_the_same(questions: Iterable[str]) -> Mapping[str, int]:
    """For each question how many of all are near it, itself among them. Compared are those that share a band of MinHash."""
    times: defaultdict[str, int] = defaultdict(int)
    for question in questions:
        times[question] += 1
    found = dict(times)
    for one, other in sorted(_likely(sorted(times))):
        if is_near(one, other):
            found[one] += times[other]
            found[other] += times[one]
    return found


def _likely(questions: Sequence[str]) -> set[tuple[str, str]]:
    sharing: defaultdict[bytes, list[str]] = defaultdict(list)
    for question in questions:
        for band in bands(signature(question)):
            sharing[band].append(question)
    return {pair for group in sharing.values() if len(group) <= COMMON for pair in combinations(group, 2)}
