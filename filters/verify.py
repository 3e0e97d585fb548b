"""Is a candidate's answer the gold one? Compared as everywhere: options, numbers, words; and windows by their overlap."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.settled import Made, Result
from dmforge.curation.stage import Batch, StageConfig
from dmforge.schemas.records import Attempt, Verdict
from dmforge.schemas.scoring import answer_score


class VerifyConfig(StageConfig):
    """Nothing to be told: thresholds are `select`'s."""


class Verify(Batch[Attempt, Verdict]):
    """One verdict a candidate, `answer`: 1 or 0; for grounding the overlap of its span with gold, as IoU."""

    name, version = "verify", 1
    config: VerifyConfig

    def process(self, items: Iterator[Attempt]) -> Iterator[Result]:
        for item in items:
            candidate, task = item.candidate, item.task
            score = answer_score(candidate.answer, task)
            detail = "" if score == 1 else f"{candidate.answer!r}, not {task.answer!r}"
            reason = "" if score == 1 else "window differs" if task.task_kind == "grounding" else "wrong answer"
            yield Made((Verdict(candidate.video, candidate.id, "candidate", "answer", score, 1, reason, detail),))
