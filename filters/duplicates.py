"""Is a task a duplicate? Paraphrases about one window, questions that are nearly the same, videos that are copies of others."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import ChainMap, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import StageConfig
from dmforge.curation.contract.stage_results import Key, Made, Origin, StageResults, settle
from dmforge.curation.video.fingerprint import Fingerprint, copies
from dmforge.filters.near_duplicates import NearDuplicates
from dmforge.filters.question_facts import asks_the_same
from dmforge.filters.selection.task_sampling import clustered
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import Id, show
from dmforge.schemas.likeness import likeness
from dmforge.schemas.records import Task, Verdict, Video
from dmforge.schemas.scoring import matches, measure_cs, overlap_cs

RANGE_ROWS = 5_000
"""Tasks, or videos, of a range of video ids that is in memory at once."""
PARAPHRASE = 0.5
"""The least similarity of two queries about one and the same window: whatever their words, they teach the same look."""


class DuplicatesConfig(StageConfig):
    """When two windows count as the same."""

    same_window: Annotated[float, Field(gt=0, le=1)] = 0.9
    """The least IoU of two windows that count as the same."""


class Duplicates(Collective[Video, Verdict]):
    """One verdict a video, `original`: 0 where it is a copy of another one. Two a task: `unique`, 1 minus its similarity to the
    most similar task before it about the same video or a copy; `fresh`, one over the number of questions that are nearly the
    same, in any video: templates and common phrases have a low score and may be fine, so this is information only.

    Before means with a lower id, so that every machine keeps the same one."""

    name, version = "duplicates", 3
    measures = ("original", "unique", "fresh")
    config: DuplicatesConfig
    also_reads = (Fingerprint, Task)

    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        video_ranges = max((view.ranges(record, RANGE_ROWS) for record in (Video, Task)), key=len)
        near_duplicates = NearDuplicates(
            str(question_text)
            for bounds in video_ranges
            for question_text in view.table(f"SELECT question FROM ({view.rows(Task).within(bounds)})", bounds)
            .column("question")
            .to_pylist()
        )
        hashes_by_video = {fingerprint.video: fingerprint.hashes for fingerprint in view.all_rows(Fingerprint)}
        copy_pairs = list(copies(hashes_by_video))
        cluster_by_video = clustered({video for copy_pair in copy_pairs for video in copy_pair}, copy_pairs)
        # copies are compared with each other wherever their ids lie; there are few
        verdicts_of_copies = self._verdicts(_tasks_about(view, cluster_by_video), cluster_by_video, near_duplicates)
        for video_range in video_ranges:
            video_ids = sorted(video.id for video in view.about(video_range, Video))
            tasks = [task for task in view.about(video_range, Task) if task.video not in cluster_by_video]
            verdicts_by_video = ChainMap(self._verdicts(tasks, cluster_by_video, near_duplicates), verdicts_of_copies)
            results = [
                Made((_original(video, cluster_by_video.get(video, video)), *verdicts_by_video.get(video, ())))
                for video in video_ids
            ]
            yield settle(origin, [Key(video, video) for video in video_ids], results, self.makes)

    def _verdicts(
        self, tasks: list[Task], cluster_by_video: Mapping[Id, Id], near_duplicates: NearDuplicates
    ) -> dict[Id, list[Verdict]]:
        """The verdicts on tasks, by video. A video that has no copy is a cluster of its own."""
        verdicts_by_video: defaultdict[Id, list[Verdict]] = defaultdict(list)
        earlier_of_cluster: defaultdict[Id, _EarlierTasks] = defaultdict(lambda: _EarlierTasks(self.config.same_window))
        for task in sorted(tasks, key=lambda task: task.id):
            earlier_tasks, near_count = (
                earlier_of_cluster[cluster_by_video.get(task.video, task.video)],
                near_duplicates.near_count(task.question),
            )
            detail = f"{near_count} questions of the corpus are nearly this one" if near_count > 1 else ""
            reason = "asked elsewhere" if detail else ""
            fresh_verdict = Verdict(task.video, task.id, "task", "fresh", 1 / near_count, near_count, reason, detail)
            verdicts_by_video[task.video] += [self._unique(task, earlier_tasks), fresh_verdict]
            earlier_tasks.add(task)
        return dict(verdicts_by_video)

    def _unique(self, task: Task, earlier_tasks: _EarlierTasks) -> Verdict:
        similarities = [
            (self._similarity(task, earlier_task), earlier_task.id) for earlier_task in earlier_tasks.comparable(task)
        ]
        best_similarity, other_id = min(
            similarities, default=(0.0, b""), key=lambda similarity_and_id: (-similarity_and_id[0], similarity_and_id[1])
        )
        reason = "said before" if best_similarity else ""
        # the place is the whole question, to be compared with that of the other task
        detail = f"at 0-{len(task.question)}: {best_similarity:.2f} like {show('task', other_id)}" if best_similarity else ""
        return Verdict(task.video, task.id, "task", "unique", 1 - best_similarity, earlier_tasks.count, reason, detail)

    def _similarity(self, task: Task, other_task: Task) -> float:
        """The similarity of two tasks of one kind: 0 where they ask for different things, however they are worded."""
        if not self._same_windows(task, other_task):
            return 0.0
        is_near_duplicate = asks_the_same(task.question, other_task.question)
        if task.task_kind == "grounding":
            return max(PARAPHRASE, likeness(task.question, other_task.question)) if task.windows else float(is_near_duplicate)
        return (
            likeness(task.question, other_task.question)
            if is_near_duplicate and matches(task.answer, other_task.answer)
            else 0.0
        )

    def _same_windows(self, task: Task, other_task: Task) -> bool:
        if task.windows == other_task.windows:
            return True
        min_iou = Fraction(self.config.same_window).limit_denominator(1000)
        union_cs, shared_cs = measure_cs(task.windows + other_task.windows), overlap_cs(task.windows, other_task.windows)
        return shared_cs * min_iou.denominator >= min_iou.numerator * union_cs


class _EarlierTasks:
    """The earlier tasks about one video: by kind, and those with one window by where it begins."""

    def __init__(self, same_window: float) -> None:
        self.count = 0
        self._slack = (1 - same_window) / same_window
        self._starts_cs: defaultdict[str, list[int]] = defaultdict(list)
        self._with_one_window: defaultdict[str, list[Task]] = defaultdict(list)
        self._without_one_window: defaultdict[tuple[str, bool], list[Task]] = defaultdict(list)

    def add(self, task: Task) -> None:
        self.count += 1
        if len(task.windows) != 1:
            self._without_one_window[task.task_kind, bool(task.windows)].append(task)
            return
        starts_cs, start_cs = self._starts_cs[task.task_kind], task.windows[0].start_cs
        insert_position = bisect_right(starts_cs, start_cs)
        starts_cs.insert(insert_position, start_cs)
        self._with_one_window[task.task_kind].insert(insert_position, task)

    def comparable(self, task: Task) -> Iterator[Task]:
        """The earlier tasks of its kind that may have its windows. What lies between two starts is in one window alone, so with
        an IoU of at least q it is at most (1 - q) / q of the other one. Of several windows the first may be far away and
        short, so all tasks with one window are compared with them."""
        task_kind, windows = task.task_kind, task.windows
        yield from self._without_one_window[task_kind, bool(windows)]
        if len(windows) == 1:
            slack_cs = self._slack * measure_cs(windows) + 1
            starts_cs, start_cs = self._starts_cs[task_kind], windows[0].start_cs
            yield from self._with_one_window[task_kind][
                bisect_left(starts_cs, start_cs - slack_cs) : bisect_right(starts_cs, start_cs + slack_cs)
            ]
        elif windows:
            yield from self._with_one_window[task_kind]


def _original(video_id: Id, cluster_id: Id) -> Verdict:
    is_copy = video_id != cluster_id
    detail = show("video", cluster_id) if is_copy else ""
    return Verdict(
        video_id,
        video_id,
        "video",
        "original",
        0.0 if is_copy else 1.0,
        1,
        "a copy of another video" if is_copy else "",
        detail,
    )


def _tasks_about(view: View, videos: Iterable[Id]) -> list[Task]:
    """The tasks about some videos."""
    tasks_sql = f"SELECT * FROM ({view.rows(Task).sql}) SEMI JOIN (SELECT unnest($videos::BLOB[]) AS video) USING (video)"
    return from_arrow(Task, view.table(tasks_sql, {"videos": list(videos)}))
