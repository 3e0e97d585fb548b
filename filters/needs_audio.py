"""Does a question ask for something to be heard? Told before anything is spent on it: the student hears nothing."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.settled import Made, Result
from dmforge.curation.stage import Batch, StageConfig
from dmforge.filters.hearing import audible
from dmforge.schemas.records import Task, Verdict


class NeedsAudioConfig(StageConfig):
    """Nothing to be told."""


class NeedsAudio(Batch[Task, Verdict]):
    """One verdict a task, `silent`: 0 where only ears can answer it. Thoughts have one of the same name from `rules`."""

    name, version = "needs_audio", 1
    measures = ("silent",)
    config: NeedsAudioConfig

    def process(self, items: Iterator[Task]) -> Iterator[Result]:
        for task in items:
            found = audible(task.question)
            yield Made((Verdict(task.video, task.id, "task", "silent", found.score, 1, found.reason, found.detail()),))
