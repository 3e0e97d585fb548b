"""Does a question ask for something to be heard? Measured before anything is spent on it: the student hears nothing."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.contract.stage import Batch, StageConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.filters.rules.audio_claims import audible
from dmforge.schemas.records import Task, Verdict


class NeedsAudioConfig(StageConfig):
    """This stage has no settings."""


class NeedsAudio(Batch[Task, Verdict]):
    """One verdict a task, `silent`: 0 where only ears can answer it. `rules` gives candidates one of the same name."""

    name, version = "needs_audio", 1
    measures = ("silent",)
    config: NeedsAudioConfig

    def process(self, items: Iterator[Task]) -> Iterator[Result]:
        for task in items:
            rule_score = audible(task.question)
            yield Made(
                (Verdict(task.video, task.id, "task", "silent", rule_score.score, 1, rule_score.reason, rule_score.detail()),)
            )
