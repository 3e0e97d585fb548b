"""Does another model, shown only the clip that a candidate looked at, come to the right answer?"""

from __future__ import annotations

from dmforge.curation.contract.budget import ExpectedCost
from dmforge.curation.contract.stage_results import Made, Quarantined, Rejected, Result
from dmforge.generators.teacher.ask_stage import ShowingConfig, TeacherStage
from dmforge.generators.teacher.interview import UnreadableReply, announced, expected_usage
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import CandidateWithTask, Verdict
from dmforge.schemas.replies import AnswerReply
from dmforge.schemas.scoring import answer_score


class CrosscheckConfig(ShowingConfig):
    """Who is asked: not the model that wrote the candidates, which would repeat its own answer."""

    temperature: float = 0.0
    """Of sampling."""


class Crosscheck(TeacherStage[CandidateWithTask, Verdict]):
    """One verdict a candidate, `crosscheck`: how right the other model's answer is."""

    name, version = "crosscheck", 1
    measures = ("crosscheck",)
    replies = (AnswerReply,)
    config: CrosscheckConfig

    def expected(self, item: CandidateWithTask) -> ExpectedCost | None:
        if item.video is None or not item.candidate.looks:
            return None
        question_with_options = question_text(item.task)
        try:
            token_usage = expected_usage(
                self.config, self.config.clips, AnswerReply, item.video, item.candidate.looks[0], question_with_options
            )
        except NoFrames:
            return None
        return ExpectedCost(token_usage, self.config.price.usd(token_usage))

    async def process(self, item: CandidateWithTask) -> Result:
        if item.video is None:
            return Quarantined("no video", "the candidate's video is not in the lake")
        if not item.candidate.looks:
            return self._verdict(item, 0.0, "no look", "")
        look = item.candidate.looks[0]
        try:
            prompt_text = f"{announced(look)}\n\n{question_text(item.task)}"
            _, reply, _ = await self.teacher.ask(AnswerReply, item.video, look, prompt_text, 0)
        except NoFrames:
            return self._verdict(item, 0.0, "its look shows no frame", "")
        except UnreadableReply as error:
            return Rejected("no readable reply", str(error))
        agreement_score = answer_score(reply.answer, item.task)
        if agreement_score == 1:
            return self._verdict(item, agreement_score, "", "")
        return self._verdict(
            item, agreement_score, "another model answers otherwise", f"{reply.answer!r}, not {item.task.answer!r}"
        )

    def _verdict(self, item: CandidateWithTask, score: float, reason: str, detail: str) -> Result:
        candidate = item.candidate
        return Made((Verdict(candidate.video, candidate.id, "candidate", "crosscheck", score, 1, reason, detail),))
