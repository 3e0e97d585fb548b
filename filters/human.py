"""What people decided in reviews, as scores: one verdict for each reviewer, of which the lowest counts."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.contract.stage import Batch, Root, StageConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.curation.sources.reviews import Review, all_reviews, source_version
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.records import Verdict


class HumanConfig(StageConfig):
    """This stage has no settings."""


class Human(Root, Batch[Review, Verdict]):
    """One verdict for each decision: 1 is keep, 0 is reject. The detail begins with who decided. A comment has none."""

    name, version = "human", 1
    measures = ("human",)
    config: HumanConfig

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return source_version(workspace)

    def scan(self, workspace: WorkspaceFolder) -> Iterator[Review]:
        return all_reviews(workspace)

    def process(self, items: Iterator[Review]) -> Iterator[Result]:
        for review in items:
            if review.decision == "comment":
                yield Made(())
                continue
            score = 1.0 if review.decision == "keep" else 0.0
            gold_text = f"gold is {review.gold}" if review.gold else ""
            review_detail = ": ".join(filter(None, (review.reviewer, gold_text, review.note)))
            yield Made(
                (Verdict(review.video, review.subject, review.subject_kind, "human", score, 1, review.reason, review_detail),)
            )
