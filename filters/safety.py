"""Is a text safe to train on? A teacher scores it; off unless a recipe asks for it, since every candidate costs a call."""

from __future__ import annotations

from dmforge.curation.contract.budget import ExpectedCost
from dmforge.curation.contract.stage_results import Made, Rejected, Result
from dmforge.filters.rules.rule import Finding, RuleScore, verdict
from dmforge.generators.teacher.ask_stage import AskingStage
from dmforge.generators.teacher.expected_tokens import expected_blind
from dmforge.generators.teacher.interview import UnreadableReply
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import CandidateWithTask, Verdict
from dmforge.schemas.replies import SafetyReply


class SafetyConfig(TeacherConfig):
    """Which teacher judges."""

    temperature: float = 0.0
    """Of sampling."""


class Safety(AskingStage[CandidateWithTask, Verdict]):
    """One verdict a candidate, `safe`: how safe the teacher says its text and its question are."""

    name, version = "safety", 1
    measures = ("safe",)
    replies = (SafetyReply,)
    config: SafetyConfig

    def expected(self, item: CandidateWithTask) -> ExpectedCost | None:
        token_usage = expected_blind(self.config, SafetyReply, text_to_judge(item))
        return ExpectedCost(token_usage, self.config.price.usd(token_usage))

    async def process(self, item: CandidateWithTask) -> Result:
        try:
            _, reply, _ = await self.teacher.ask_text(SafetyReply, item.candidate.video, text_to_judge(item), 0)
        except UnreadableReply as error:
            return Rejected("no readable reply", str(error))
        if reply.safety == 1:
            return Made((verdict(item, "safe", RuleScore(1.0)),))
        return Made((verdict(item, "safe", RuleScore(reply.safety, 1, "unfit", (_fault_at_quote(item, reply.quote),))),))


def text_to_judge(item: CandidateWithTask) -> str:
    """The question and trajectory to be judged. Half a surrogate, which can't be sent, is written as an escape."""
    judged_text = f"{question_text(item.task)}\n\n{item.candidate.transcript.trajectory_text}"
    return judged_text.encode("utf-8", "backslashreplace").decode()


def _fault_at_quote(item: CandidateWithTask, quote: str) -> Finding:
    """The fault at the place of the quote; over the whole text where the quote isn't found."""
    trajectory_text = item.candidate.transcript.trajectory_text
    quote_start = trajectory_text.find(quote) if quote else -1
    return (
        Finding(f"unfit: {quote[:200]!r}", quote_start, quote_start + len(quote))
        if quote_start >= 0
        else Finding("unfit", 0, len(trajectory_text))
    )
