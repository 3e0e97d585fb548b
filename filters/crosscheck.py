"""Does another model, shown only the clips that a candidate looked at, come to the right answer?"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveInt

from dmforge.curation.contract.budget import ExpectedCost
from dmforge.curation.contract.stage_results import Made, Quarantined, Rejected, Result
from dmforge.generators.teacher.ask_stage import ShowingConfig, TeacherStage, keys_of_replies
from dmforge.generators.teacher.clip_messages import announced
from dmforge.generators.teacher.expected_tokens import expected_usage_of_clips
from dmforge.generators.teacher.interview import UnreadableReply
from dmforge.schemas.config import Later
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.looks import Look
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import CandidateWithTask, Verdict, Video
from dmforge.schemas.replies import AnswerReply, FinalReply
from dmforge.schemas.scoring import answer_score


class CrosscheckConfig(ShowingConfig):
    """Who is asked: not the model that wrote the candidates, which would repeat its own answer."""

    temperature: float = 0.0
    """Of sampling."""
    max_looks: Later[PositiveInt] = 1
    """The most looks of a candidate, by the recipe's `[looks]`: all of them are shown together."""


class Crosscheck(TeacherStage[CandidateWithTask, Verdict]):
    """One verdict a candidate, `crosscheck`: how right the other model's answer is."""

    name, version = "crosscheck", 1
    measures = ("crosscheck",)
    replies = (AnswerReply,)
    config: CrosscheckConfig

    def cache_key_parts(self) -> list[str]:
        several = (FinalReply,) if self.config.max_looks > 1 else ()
        return [*super().cache_key_parts(), *keys_of_replies(several)]

    def expected(self, item: CandidateWithTask) -> ExpectedCost | None:
        if item.video is None or not item.candidate.looks:
            return None
        looks, question_with_options = item.candidate.looks, question_text(item.task)
        reply_type = AnswerReply if len(looks) == 1 else FinalReply
        try:
            token_usage = expected_usage_of_clips(
                self.config, self.config.clips, reply_type, item.video, looks, question_with_options, len(looks)
            )
        except NoFrames:
            return None
        return ExpectedCost(token_usage, self.config.price.usd(token_usage))

    async def process(self, item: CandidateWithTask) -> Result:
        if item.video is None:
            return Quarantined("no video", "the candidate's video is not in the lake")
        if not item.candidate.looks:
            return self._verdict(item, 0.0, "no look", "")
        try:
            reply = await self._reply(item.video, item.candidate.looks, question_text(item.task))
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

    async def _reply(self, video: Video, looks: Sequence[Look], question_with_options: str) -> AnswerReply:
        """The other model's answer from these looks together."""
        if len(looks) == 1:
            prompt_text = f"{announced(looks[0])}\n\n{question_with_options}"
            return (await self.teacher.ask(AnswerReply, video, looks[0], prompt_text, 0)).reply
        return (await self.teacher.ask_about_clips(FinalReply, video, looks, question_with_options, 0, len(looks))).reply

    def _verdict(self, item: CandidateWithTask, score: float, reason: str, detail: str) -> Result:
        candidate = item.candidate
        return Made((Verdict(candidate.video, candidate.id, "candidate", "crosscheck", score, 1, reason, detail),))
